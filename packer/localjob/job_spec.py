"""What a local job is: a training job's channels and ranks on one machine, as plain values.

instance    a folder that stands for one machine's /opt/ml, and the ranks that see it
host        the instance's name: algo-1, algo-2, ...
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import Cluster
from packer.errors import OptionsError

GRACE_S = 120.0
"""What SageMaker gives a job between SIGTERM and SIGKILL."""


class Launch(enum.StrEnum):
    """How ranks are started."""

    PROCESSES = "processes"
    """One by one, with the variables that torchrun sets."""
    MPI = "mpi"
    """By one mpirun, with a daemon for each instance, as SageMaker's training toolkit does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalJob:
    """A job as it was asked for."""

    dest: str
    """Path or URI of a finished data set."""
    cluster: Cluster
    mode: InputMode
    command: tuple[str, ...]
    """What each rank runs."""
    splits: tuple[str, ...] = ()
    """All of the data set's by default."""
    shuffle_seed: int | None = None
    assignment_seed: int = 0
    """Of the rule by which instances get keys; see `packer.channels.assignment`."""
    hyperparameters: tuple[tuple[str, str], ...] = ()
    launch: Launch = Launch.PROCESSES
    grace_s: float = GRACE_S

    def __post_init__(self) -> None:
        if not self.command:
            raise OptionsError("COMMAND: expected what each rank shall run after --, got nothing")
        if not 0 <= self.grace_s <= 3600:
            raise OptionsError(f"expected 0 to 3600 seconds, got {self.grace_s:g}", field="grace_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One process of the job."""

    rank: int
    local_rank: int
    host: str
    """Of its instance."""


def host_names(instances: int) -> tuple[str, ...]:
    """Return the names as SageMaker lists them: sorted as text, so algo-10 comes before algo-2."""
    return tuple(sorted(f"algo-{number}" for number in range(1, instances + 1)))


def group_hosts(instances: int) -> tuple[str, ...]:
    """Return the names as an instance group lists them: in no order on SageMaker, in the reverse one here."""
    return host_names(instances)[::-1]


def list_hosts(job: LocalJob) -> tuple[str, ...]:
    """Return the names in the order of ranks: SageMaker's toolkit gives mpirun the order of the instance group."""
    names = group_hosts if job.launch is Launch.MPI else host_names
    return names(job.cluster.instances)


def list_ranks(job: LocalJob) -> tuple[Rank, ...]:
    """Return all ranks of a job: rank = position of the host x ranks of an instance + local rank."""
    local_size = job.cluster.gpus_per_instance
    return tuple(
        Rank(rank=position * local_size + local_rank, local_rank=local_rank, host=host)
        for position, host in enumerate(list_hosts(job))
        for local_rank in range(local_size)
    )
