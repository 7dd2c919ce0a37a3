"""``shardpack sagemaker-local``: run a training command as a SageMaker job would run it, on this machine."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import Cluster
from packer.channels.instance_groups import choose_groups
from packer.cli.command_options import READING_FIELDS, place_options, with_pack_options
from packer.cli.output import Output
from packer.errors import OptionsError
from packer.localjob.job_spec import GRACE_S, Launch, LocalJob
from packer.options import PackOptions

if TYPE_CHECKING:
    from packer.localjob.local_job import LocalJobResult
    from packer.localjob.processes import RankLine

_INTERRUPTED = 130
EPILOG = """Example:

  shardpack sagemaker-local shards/ --instances 2 --gpus-per-instance 2 --mode Pipe -- python train.py

What it does not prove: which keys SageMaker assigns to which instance (try several --assignment-seed), how fast it
delivers them and when it gives up on a channel that nobody reads, that instances reach each other over a network, and
SageMaker's own checks, limits, permissions and prices.

A command that looks for /opt/ml itself, and not for SAGEMAKER_BASE_DIR or the SM_ variables, finds nothing of the job
there. File mode links the shards of a local data set: a command must not write into its input."""


_Instances = Annotated[int | None, typer.Option(help="machines to stand in for [default: 1, or the train group's]")]
_Groups = Annotated[
    list[str] | None, typer.Option(metavar="NAME=TYPE:COUNT", help="kind of machines; may be given several times")
]


@partial(with_pack_options, only=READING_FIELDS)
def sagemaker_local(
    given: dict[str, Any],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="a data set", show_default=False)],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="what each rank runs", show_default=False)],
    instances: _Instances = None,
    gpus_per_instance: Annotated[int, typer.Option(help="ranks of each")] = 1,
    instance_group: _Groups = None,
    train_group: Annotated[str | None, typer.Option(metavar="NAME", help="the instance group that trains")] = None,
    data_group: Annotated[str | None, typer.Option(metavar="NAME", help="the one that makes its batches")] = None,
    mode: Annotated[InputMode, typer.Option(help="how the shards come")] = InputMode.FILE,
    splits: Annotated[str, typer.Option(metavar="NAME,...", help="channels for these alone [default: all]")] = "",
    shuffle_seed: Annotated[int | None, typer.Option(help="ShuffleConfig of training splits (File, Pipe)")] = None,
    assignment_seed: Annotated[int, typer.Option(help="another rule by which instances get shards")] = 0,
    hyperparameter: Annotated[list[str] | None, typer.Option(metavar="K=V", help="may be given several times")] = None,
    mpi: Annotated[bool, typer.Option("--mpi", help="start the ranks with one mpirun")] = False,
    base_dir: Annotated[
        str, typer.Option(metavar="DIR", help="keep the instances' /opt/ml in this new folder [default: removed]")
    ] = "",
    grace_s: Annotated[float, typer.Option(help="seconds from a signal to SIGKILL")] = GRACE_S,
    json: Annotated[
        bool, typer.Option("--json", help="print one JSON object on standard output, all else on standard error")
    ] = False,
) -> None:
    """Run COMMAND as the ranks of a SageMaker training job on this machine, with DEST as its channels.

    Each instance is a folder with what a training container has in /opt/ml (SAGEMAKER_BASE_DIR names it): the three
    JSON files, the channels (files, a view of the data set, or real FIFOs), and room for the model. Each rank gets the
    variables of SageMaker's training toolkit, and those of torchrun or, with --mpi, of Open MPI. Exit code 0 when all
    ranks end with 0; the first that fails ends the others. With instance groups as `shardpack sagemaker` takes them,
    COMMAND runs on the train group, and a data host, which ends with training, on each machine of the data group.
    """
    groups = choose_groups(instance_group or (), train_group, data_group)
    job = LocalJob(
        dest=dest,
        cluster=Cluster(instances=groups.train_instances(instances, default=1), gpus_per_instance=gpus_per_instance),
        groups=groups,
        mode=mode,
        command=tuple(command),
        splits=tuple(name for name in splits.split(",") if name),
        shuffle_seed=shuffle_seed,
        assignment_seed=assignment_seed,
        hyperparameters=tuple(_parse_hyperparameter(text) for text in hyperparameter or ()),
        launch=Launch.MPI if mpi else Launch.PROCESSES,
        grace_s=grace_s,
    )
    result = _run(job, base_dir, place_options(dest, given), as_json=json)
    Output(as_json=json).local_job(result)
    if not result.ok or result.interrupted:
        raise typer.Exit(_INTERRUPTED if result.interrupted else 1)


def _run(job: LocalJob, base_dir: str, options: PackOptions, *, as_json: bool) -> LocalJobResult:
    from packer.localjob.local_job import run_local_job

    def say(line: RankLine) -> None:
        stream = sys.stderr if as_json or line.is_error else sys.stdout
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more; the job goes on
            print(f"[{line.source}] {line.text}", file=stream, flush=True)

    with contextlib.ExitStack() as stack:
        folder = base_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="sagemaker-local-"))
        return run_local_job(job, folder, say=say, options=options.source_store())


def _parse_hyperparameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise OptionsError(f"--hyperparameter: expected K=V, got {text!r}")
    return name, value
