import pytest

from packer.errors import OptionsError
from packer.trainer.core.world import Launcher, World, parse_world

HOROVOD = {"HOROVOD_RANK": "5", "HOROVOD_LOCAL_RANK": "1", "HOROVOD_SIZE": "8", "HOROVOD_LOCAL_SIZE": "4"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "5",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "8",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
}
TORCHRUN = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}


@pytest.mark.parametrize(
    ("environ", "launcher"),
    [
        (HOROVOD, Launcher.HOROVOD),
        (OPEN_MPI, Launcher.OPEN_MPI),
        (TORCHRUN, Launcher.TORCHRUN),
        (HOROVOD | OPEN_MPI, Launcher.HOROVOD),  # horovodrun over MPI leaves both
        (OPEN_MPI | TORCHRUN, Launcher.OPEN_MPI),
    ],
)
def test_each_launcher_is_understood(environ, launcher):
    environ = environ | {"PATH": "/bin", "SM_CURRENT_HOST": "algo-1"}
    assert parse_world(environ) == World(rank=5, local_rank=1, size=8, local_size=4, launcher=launcher)


@pytest.mark.parametrize("environ", [{}, {"HOROVOD_GLOO_TIMEOUT_SECONDS": "30", "OMPI_MCA_btl": "^openib"}])
def test_without_a_launcher_it_is_one_process(environ):
    assert parse_world(environ) == World(rank=0, local_rank=0, size=1, local_size=1, launcher=Launcher.SOLO)


@pytest.mark.parametrize("variables", [HOROVOD, OPEN_MPI, TORCHRUN])
def test_any_missing_variable_is_named(variables):
    for missing in variables:
        environ = {name: value for name, value in variables.items() if name != missing}
        with pytest.raises(OptionsError, match=rf"is set but {missing} not; start with"):
            parse_world(environ)


def test_launchers_that_contradict_each_other_are_refused():
    with pytest.raises(OptionsError, match=r"mpirun's variables say rank 5 of 8.* but torchrun's .* rank 4 of 8"):
        parse_world(OPEN_MPI | TORCHRUN | {"RANK": "4"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RANK": "8"}, "expected a rank of 0 to 7, got 8"),
        ({"RANK": "-1"}, "RANK: expected a number of at least 0, got '-1'"),
        ({"WORLD_SIZE": "eight"}, "WORLD_SIZE: expected a number of at least 0, got 'eight'"),
        ({"WORLD_SIZE": "0"}, "expected a rank of 0 to -1, got 5"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE: expected a number"),
        ({"LOCAL_RANK": "4"}, "expected local rank < local size <= size, got 4, 4 and 8"),
        ({"LOCAL_WORLD_SIZE": "9"}, "expected local rank < local size <= size, got 1, 9 and 8"),
        ({"RANK": "0"}, "expected local rank <= rank, got 1 and 0"),
    ],
)
def test_impossible_numbers_are_refused(change, message):
    with pytest.raises(OptionsError, match=message):
        parse_world(TORCHRUN | change)


BATCH_SHELL = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
SRUN = BATCH_SHELL | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "8"}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PMI_RANK": "0", "PMI_SIZE": "8", "MPI_LOCALRANKID": "0"}, "PMI_SIZE=8"),  # MPICH, Intel MPI
        (SRUN, "SLURM_STEP_NUM_TASKS=8"),
        (SRUN | {"SLURM_PROCID": "3", "PMIX_RANK": "3"}, "SLURM_STEP_NUM_TASKS=8"),
        ({"PMI_RANK": "2"}, "PMI_RANK=2"),
        ({"PMIX_RANK": "1"}, "PMIX_RANK=1"),
    ],
)
def test_several_processes_of_another_launcher_are_refused(environ, said):
    with pytest.raises(OptionsError, match=f"{said} says .* one of several .* mpirun, horovodrun --gloo and torchrun"):
        parse_world(environ)


@pytest.mark.parametrize(
    "environ",
    [
        BATCH_SHELL,
        SRUN | {"SLURM_STEP_NUM_TASKS": "1"},  # srun --pty bash, or an allocation whose shell is a step
        {"PMI_RANK": "0", "PMI_SIZE": "1"},
        {"PMI_SIZE": "", "PMIX_RANK": "0"},
    ],
)
def test_one_process_of_another_launcher_is_one_process(environ):
    assert parse_world(environ) == World()


def test_a_known_launcher_in_a_step_of_slurm_is_understood():
    """torchrun once on each node."""
    assert parse_world(TORCHRUN | SRUN | {"PMI_SIZE": "2"}).launcher is Launcher.TORCHRUN
