"""Description of a local job: a training job's channels and ranks on one machine, as plain values.

instance    a folder that stands for one machine's /opt/ml, and the ranks that use it
host        the instance's name: algo-1, algo-2, ...
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import Cluster
from packer.channels.instance_groups import ONE_KIND, JobGroups
from packer.channels.jobfiles import InstanceGroup as HostGroup
from packer.errors import OptionsError

INSTANCE_TYPE = "local"
GROUP_NAME = "homogeneousCluster"
"""SageMaker's name for the only group of a job without groups."""
PROGRAM = "sagemaker_program"
MPI_ENABLED = "sagemaker_mpi_enabled"
"""Hyperparameters by which SageMaker's SDK tells its toolkit which program to start, and whether to use MPI."""
GRACE_S = 120.0
"""Seconds between SIGTERM and SIGKILL on SageMaker."""


class Launch(enum.StrEnum):
    """How ranks are started."""

    PROCESSES = "processes"
    """One process for each rank, with the variables that torchrun sets."""
    MPI = "mpi"
    """One mpirun with a daemon for each instance, as SageMaker's training toolkit does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalJob:
    """The settings of a local job."""

    dest: str
    """Path or URI of a finished data set."""
    cluster: Cluster
    """The instances that train."""
    mode: InputMode
    command: tuple[str, ...]
    """Command that each rank runs."""
    splits: tuple[str, ...] = ()
    """Names of the splits to read; empty for all of the data set's splits."""
    shuffle_seed: int | None = None
    assignment_seed: int = 0
    """Chooses the rule by which instances get keys; see `packer.channels.assignment`."""
    hyperparameters: tuple[tuple[str, str], ...] = ()
    launch: Launch = Launch.PROCESSES
    groups: JobGroups = ONE_KIND
    """Groups of a heterogeneous cluster: `cluster` is the train group; each host of the data group is a data host."""
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
    """Name of the rank's instance."""


def host_names(instances: int) -> tuple[str, ...]:
    """Return the host names in SageMaker's order: sorted as text, so algo-10 comes before algo-2."""
    return tuple(sorted(f"algo-{number}" for number in range(1, instances + 1)))


def list_groups(job: LocalJob) -> tuple[HostGroup, ...]:
    """Return the job's instance groups as its files list them.

    SageMaker lists the hosts of a group in no particular order. Here hosts are numbered group by group and listed in
    reverse order.
    """
    if not job.groups.groups:
        return (HostGroup(instance_group_name=GROUP_NAME, instance_type=INSTANCE_TYPE, hosts=all_hosts(job)[::-1]),)
    groups, first = [], 1
    for group in job.groups.groups:
        numbers = range(first, first + group.instances)
        hosts = tuple(sorted((f"algo-{number}" for number in numbers), reverse=True))
        groups.append(HostGroup(instance_group_name=group.name, instance_type=group.instance_type, hosts=hosts))
        first += group.instances
    return tuple(groups)


def all_hosts(job: LocalJob) -> tuple[str, ...]:
    """Return the names of all instances of all groups, in SageMaker's order."""
    return host_names(sum(group.instances for group in job.groups.groups) or job.cluster.instances)


def list_hosts(job: LocalJob) -> tuple[str, ...]:
    """Return the hosts that train, in the order of ranks. The toolkit passes the instance group's order to mpirun."""
    hosts = _hosts_of(job, job.groups.train or GROUP_NAME)
    return hosts if job.launch is Launch.MPI else tuple(sorted(hosts))


def list_data_hosts(job: LocalJob) -> tuple[str, ...]:
    """Return the hosts that make batches for the ranks; empty without a data group."""
    return tuple(sorted(_hosts_of(job, job.groups.data))) if job.groups.data else ()


def _hosts_of(job: LocalJob, name: str) -> tuple[str, ...]:
    return next(group.hosts for group in list_groups(job) if group.instance_group_name == name)


def list_ranks(job: LocalJob) -> tuple[Rank, ...]:
    """Return all ranks of a job: rank = position of the host x ranks of an instance + local rank."""
    local_size = job.cluster.gpus_per_instance
    return tuple(
        Rank(rank=position * local_size + local_rank, local_rank=local_rank, host=host)
        for position, host in enumerate(list_hosts(job))
        for local_rank in range(local_size)
    )
