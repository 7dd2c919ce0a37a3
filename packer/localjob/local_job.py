"""A SageMaker training job on one machine, from its channels to the exit codes of its ranks. Start reading here."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from packer.channels.assignment import keys_of_instance
from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan, feedable, plan_channels
from packer.channels.jobfiles import JobFiles
from packer.dataset.load import load_manifest
from packer.errors import OptionsError
from packer.localjob.content import Content, fill_channels
from packer.localjob.data_processes import DataHosts, name_data_hosts
from packer.localjob.environment import instance_variables, program_arguments
from packer.localjob.job_spec import Launch, LocalJob, list_data_hosts, list_hosts, list_ranks
from packer.localjob.mpi import StartedMpi, check_mpirun
from packer.localjob.pipe_writer import ChannelUse, Piece, PipeChannel, close_channels, concatenate
from packer.localjob.processes import Guard, Say, StopRequest, kill_all, relayed, supervise
from packer.localjob.rank_processes import StartedRanks, find_free_port
from packer.localjob.tree import describe_instance, list_hyperparameters, make_tree, put_success, read_failure
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.open_store import absolute_uri, is_local, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class RankExit:
    """How one rank ended."""

    rank: int
    host: str
    local_rank: int
    exit_code: int | None
    """Exit code, negative for the signal that ended the rank; None if mpirun ended it and nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataHostExit:
    """How one data host ended."""

    host: str
    exit_code: int | None
    """Exit code, negative for the signal that ended the data host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalJobResult:
    """How a job ended."""

    ranks: tuple[RankExit, ...]
    data_hosts: tuple[DataHostExit, ...]
    channels: tuple[ChannelUse, ...]
    """How each Pipe channel was read."""
    failures: tuple[tuple[str, str], ...]
    """For each host with an output/failure file: the host's name and the file's first 1,024 characters."""
    stopped_by: int
    """Number of the signal that asked the job to stop; 0 if there was none."""

    @property
    def ok(self) -> bool:
        """All ranks ended with 0, and no data host ended with an error. One that was killed costs no sample."""
        has_failed_host = any((host.exit_code or 0) > 0 for host in self.data_hosts)
        return all(rank.exit_code == 0 for rank in self.ranks) and not has_failed_host

    @property
    def interrupted(self) -> bool:
        """Ctrl-C ended the job."""
        return self.stopped_by == signal.SIGINT


def run_local_job(job: LocalJob, base_dir: str, *, say: Say, options: StoreOptions = DEFAULT_STORE) -> LocalJobResult:
    """Run a job to its end. Only the main thread may call it.

    While the job runs, SIGINT, SIGTERM and SIGHUP are passed on to the ranks.

    Args:
        job: the job to run.
        base_dir: folder for the instances, empty or new; it is not removed.
        say: called from threads with each line of the ranks, one at a time.
        options: store options for the data set.

    Raises:
        NotADataSetError, DataSetError: there is no data set, or it lacks a shard.
        OptionsError: the data set does not fit the job, the command cannot be started, or the folder is not empty.
        OSError: an object cannot be read, or a file cannot be written.
    """
    store = open_store(job.dest, options)
    plans = plan_channels(
        load_manifest(store), job.cluster, mode=job.mode, splits=job.splits, shuffle_seed=job.shuffle_seed
    )
    plans = feedable(plans) if job.groups.data else plans
    content = Content(store, plans)
    _check_command(job)
    ports = tuple(find_free_port() for _ in list_data_hosts(job))
    stage = _build_stage(name_data_hosts(job, ports), content, plans, _claim_base(base_dir, job), ports)
    with StopRequest() as stop, Guard(stage.base) as guard:
        pipes: list[PipeChannel] = []
        try:
            _open_pipes(pipes, stage)
            codes, host_exits = _run_ranks(stage, stop, guard, partial(_check_pipes, pipes), say)
        finally:
            uses = close_channels(pipes)
    return _summarise(stage, codes, uses, stop, host_exits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """A job whose instances' folders have been made."""

    job: LocalJob
    base: str
    plans: tuple[ChannelPlan, ...]
    content: Content
    trees: tuple[JobFiles, ...]
    """Files of the instances that train, in the order of ranks."""
    data_trees: tuple[JobFiles, ...]
    """Files of the instances with data hosts."""
    ports: tuple[int, ...]
    """Ports of the data hosts."""


def _build_stage(
    job: LocalJob, content: Content, plans: tuple[ChannelPlan, ...], base: str, ports: tuple[int, ...]
) -> _Stage:
    hosts = list_hosts(job)
    trees = tuple(describe_instance(job, host, plans, base=base) for host in (*hosts, *list_data_hosts(job)))
    for tree in trees:
        make_tree(tree, list_hyperparameters(job))
    fill_channels(content, job, plans, trees, shared_dir=os.path.join(base, "shared"))
    own, data = trees[: len(hosts)], trees[len(hosts) :]
    return _Stage(job=job, base=base, plans=plans, content=content, trees=own, data_trees=data, ports=ports)


def _check_command(job: LocalJob) -> None:
    if shutil.which(job.command[0]) is None:
        raise OptionsError(f"COMMAND: expected a program, found no {job.command[0]!r} on PATH")
    if job.launch is Launch.MPI:
        check_mpirun()


def _claim_base(base_dir: str, job: LocalJob) -> str:
    base = os.path.realpath(base_dir)
    if is_local(job.dest) and base.startswith(os.path.realpath(absolute_uri(job.dest)) + os.sep):
        raise OptionsError(f"expected a folder outside of the data set, got {base_dir}", field="base_dir")
    os.makedirs(base, exist_ok=True)
    if os.listdir(base):
        raise OptionsError(f"expected an empty folder or a new one, found files in {base_dir}", field="base_dir")
    return base


def _open_pipes(pipes: list[PipeChannel], stage: _Stage) -> None:
    """Start to serve each Pipe channel of each instance, and add it to `pipes`."""

    def pieces(plan: ChannelPlan, position: int, epoch: int) -> Iterable[Piece]:
        seed = stage.job.assignment_seed
        keys = keys_of_instance(plan, position, instances=len(stage.trees), seed=seed, epoch=epoch)
        return concatenate(keys, stage.content.pieces)

    for plan in stage.plans:
        if plan.mode is InputMode.PIPE:
            for position, tree in enumerate(stage.trees):
                pipes.append(PipeChannel(tree, plan.name, epoch_pieces=partial(pieces, plan, position)))


def _check_pipes(pipes: Sequence[PipeChannel]) -> None:
    for pipe in pipes:
        if pipe.error is not None:
            raise pipe.error


def _run_ranks(
    stage: _Stage, stop: StopRequest, guard: Guard, check: Callable[[], None], say: Say
) -> tuple[tuple[int | None, ...], tuple[DataHostExit, ...]]:
    """Run the ranks to their ends, and the data hosts until then; return the exit codes of both."""
    environments = {tree.resources.current_host: _environment(stage, tree, tree, 0) for tree in stage.data_trees}
    data = DataHosts(stage.job, stage.ports, environments)
    try:
        started = _start(stage)
    except BaseException:
        kill_all(data.processes)
        raise
    guard.watch([*started.processes, *data.processes])
    with relayed([*started.streams, *data.streams], say):
        try:
            supervise(started.processes, stop, grace_s=stage.job.grace_s, check=check)
        finally:
            started.end()
            data.finish()
    exits = zip(data.hosts, data.exit_codes(), strict=True)
    return started.exit_codes(), tuple(DataHostExit(host=host, exit_code=code) for host, code in exits)


def _start(stage: _Stage) -> StartedRanks | StartedMpi:
    job = stage.job
    num_gpus = job.cluster.gpus_per_instance
    environments = {
        tree.resources.current_host: _environment(
            stage, tree, stage.trees[0] if job.launch is Launch.MPI else tree, num_gpus
        )
        for tree in stage.trees
    }
    command = (*job.command, *program_arguments(list_hyperparameters(job)))
    if job.launch is Launch.PROCESSES:
        return StartedRanks(command, list_ranks(job), environments)
    launch_dir = os.path.join(stage.base, "launch")
    os.makedirs(launch_dir)
    return StartedMpi(command, list_ranks(job), environments, launch_dir=launch_dir)


def _environment(stage: _Stage, tree: JobFiles, master: JobFiles, num_gpus: int) -> dict[str, str]:
    return {**os.environ, **instance_variables(tree, master, list_hyperparameters(stage.job), num_gpus=num_gpus)}


def _summarise(
    stage: _Stage,
    codes: Sequence[int | None],
    uses: tuple[ChannelUse, ...],
    stop: StopRequest,
    data_hosts: tuple[DataHostExit, ...],
) -> LocalJobResult:
    exits = tuple(
        RankExit(rank=rank.rank, host=rank.host, local_rank=rank.local_rank, exit_code=code)
        for rank, code in zip(list_ranks(stage.job), codes, strict=True)
    )
    bad = {rank.host for rank in exits if rank.exit_code != 0} | {host.host for host in data_hosts if host.exit_code}
    for tree in (*stage.trees, *stage.data_trees):
        if tree.resources.current_host not in bad:
            put_success(tree)
    failures = tuple((tree.resources.current_host, text) for tree in stage.trees if (text := read_failure(tree)))
    stopped_by = stop.signals[0] if stop.signals else 0
    return LocalJobResult(ranks=exits, data_hosts=data_hosts, channels=uses, failures=failures, stopped_by=stopped_by)
