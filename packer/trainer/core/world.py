"""This process's rank and the number of ranks, from the launcher's environment variables: a pure function of a mapping.

A launcher's variables count only together: a rank without a size means that something set the variable for another
purpose, or that a wrapper lost the rest. A wrong number of ranks would train silently and wrongly. SageMaker's SM_*
variables are not read: under its MPI launch, every rank has those of the first host.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from packer.errors import OptionsError
from packer.reading.job_channels import Place


class Launcher(enum.StrEnum):
    """What started the process."""

    SOLO = "one process"
    HOROVOD = "horovodrun"
    OPEN_MPI = "mpirun"
    TORCHRUN = "torchrun"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """This process among all of the job's processes."""

    rank: int = 0
    """In [0, size)."""
    local_rank: int = 0
    """In [0, local_size): number of the process among those on this host."""
    size: int = 1
    local_size: int = 1
    launcher: Launcher = Launcher.SOLO

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise OptionsError(f"{self.launcher}: expected a rank of 0 to {self.size - 1}, got {self.rank}")
        if not 0 <= self.local_rank < self.local_size <= self.size:
            raise OptionsError(
                f"{self.launcher}: expected local rank < local size <= size, "
                f"got {self.local_rank}, {self.local_size} and {self.size}"
            )
        if self.local_rank > self.rank:
            raise OptionsError(f"{self.launcher}: expected local rank <= rank, got {self.local_rank} and {self.rank}")

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """Rank, local rank, size and local size."""
        return self.rank, self.local_rank, self.size, self.local_size

    @property
    def place(self) -> Place:
        """The same numbers in the form that readers of a job's channels take."""
        return Place(rank=self.rank, world=self.size, local_rank=self.local_rank, local_size=self.local_size)


_VARIABLES = {
    Launcher.HOROVOD: ("HOROVOD_RANK", "HOROVOD_LOCAL_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_SIZE"),
    Launcher.OPEN_MPI: (
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ),
    Launcher.TORCHRUN: ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
}
"""Names of rank, local rank, size and local size, by launcher."""
_FOREIGN = {"PMI_SIZE": 2, "SLURM_STEP_NUM_TASKS": 2, "PMI_RANK": 1, "PMIX_RANK": 1}
"""Variables that MPICH, Intel MPI, PRRTE and srun set, each with the least value that means several processes.

SLURM_NTASKS and SLURM_PROCID are not among them: the shell of an allocation also has them, for a single process.
"""


def parse_world(environ: Mapping[str, str]) -> World:
    """Return this process's world, given its environment; a single process if no launcher's variables are set.

    Raises:
        OptionsError: a launcher's variables are incomplete, not numbers or impossible; or those of two launchers
            contradict each other; or an unknown launcher started several processes, each of which would train alone.
    """
    worlds = [_parse_launcher(launcher, names, environ) for launcher, names in _VARIABLES.items()]
    found = [world for world in worlds if world is not None]
    if not found:
        _check_alone(environ)
        return World()
    for other in found[1:]:
        if other.numbers != found[0].numbers:
            raise OptionsError(
                f"launcher: {_describe(found[0])}, but {_describe(other)}; unset the variables of the one that "
                "did not start this job"
            )
    return found[0]


def _check_alone(environ: Mapping[str, str]) -> None:
    for name, least in _FOREIGN.items():
        text = environ.get(name, "")
        if text.isascii() and text.isdigit() and int(text) >= least:
            raise OptionsError(
                f"launcher: {name}={text} says that this is one of several processes, but none of Open MPI's mpirun, "
                "horovodrun --gloo and torchrun has started them, so each would train by itself; start with one of "
                f"these, or unset {name} if this process is the only one"
            )


def _parse_launcher(launcher: Launcher, names: tuple[str, ...], environ: Mapping[str, str]) -> World | None:
    if not any(name in environ for name in names):
        return None
    missing = [name for name in names if name not in environ]
    if missing:
        present = next(name for name in names if name in environ)
        raise OptionsError(
            f"launcher: {present} is set but {', '.join(missing)} not; start with {launcher}, or unset it"
        )
    rank, local_rank, size, local_size = (_parse_number(name, environ[name]) for name in names)
    return World(rank=rank, local_rank=local_rank, size=size, local_size=local_size, launcher=launcher)


def _parse_number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise OptionsError(f"{name}: expected a number of at least 0, got {text!r}")
    return int(text)


def _describe(world: World) -> str:
    rank, local_rank, size, local_size = world.numbers
    return f"{world.launcher}'s variables say rank {rank} of {size}, local rank {local_rank} of {local_size}"
