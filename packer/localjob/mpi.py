"""A job's ranks under one mpirun that takes its instances for machines, as SageMaker's training toolkit starts it.

    mpirun --host algo-2:2,algo-1:2 -np 4      the toolkit's command; it reaches the other machines by ssh
      +- sagemaker-local-rsh algo-2 orted ...  in place of ssh: a daemon for each instance, with its variables
           +- packer/localjob/mpi_rank.py      starts COMMAND, passes its words and its exit code on
                +- COMMAND

So local ranks and sizes are Open MPI's own, and those of the instance. Ranks of one instance speak over TCP too, since
Open MPI names shared memory by the machine's name, which is the same for all instances here.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

import msgspec

from packer.errors import OptionsError
from packer.localjob import mpi_agent, mpi_rank
from packer.localjob.job_spec import Rank
from packer.localjob.processes import ProcessGroup, Stream, kill_all, signal_group

_AGENT = "sagemaker-local-rsh"
_SESSION_FOLDER = "OMPI_MCA_orte_tmpdir_base"
"""Where a daemon keeps its files. Daemons of one machine would share a folder, and die of what others remove there."""


def check_mpirun() -> None:
    """Check that Open MPI is installed, whose mpirun alone understands what is asked of it. Raises OptionsError."""
    try:
        found = subprocess.run(["mpirun", "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        found = ""
    if "Open MPI" not in found:
        other = found.strip() or "none"
        raise OptionsError(
            f"expected mpirun of Open MPI on PATH, found {other}; install it, or leave out `mpi=True`", field="mpi"
        )


class StartedMpi:
    """One mpirun, and the ranks that it starts."""

    def __init__(
        self,
        command: Sequence[str],
        ranks: Sequence[Rank],
        environments: Mapping[str, Mapping[str, str]],
        *,
        launch_dir: str,
    ) -> None:
        """Start it.

        Args:
            command: what each rank runs.
            ranks: all of the job's.
            environments: of the instances, by host.
            launch_dir: an empty folder for what its processes tell each other.

        Raises:
            OptionsError: mpirun cannot be started.
            OSError: the folder cannot be written to.
        """
        self._launch_dir = launch_dir
        self._num_ranks = len(ranks)
        _write_agent(launch_dir)
        for host, environment in environments.items():
            own = {**environment, _SESSION_FOLDER: _make_folder(launch_dir, host)}
            path = os.path.join(launch_dir, mpi_agent.environment_name(host))
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # it may hold secrets
                file.write(msgspec.json.encode(_add_to_path(launch_dir, own)))
        first = {**environments[ranks[0].host], "TMPDIR": _make_folder(launch_dir, "mpirun")}
        self._words, self._held = _open_words(launch_dir, len(ranks))
        try:
            self._mpirun = _Mpirun(_mpirun_command(command, ranks, launch_dir), _add_to_path(launch_dir, first), self)
        except BaseException:
            self._close_words()
            raise

    @property
    def processes(self) -> list[ProcessGroup]:
        """The one to wait for."""
        return [self._mpirun]

    @property
    def streams(self) -> list[Stream]:
        """What mpirun and the ranks say."""
        own = ((self._mpirun.output, False), (self._mpirun.errors, True))
        return [*self._words, *(Stream(source="mpirun", file=file, is_error=is_error) for file, is_error in own)]

    def signal_ranks(self, number: int) -> bool:
        """Send a signal to the groups of the ranks that run; return whether there are any."""
        ranks = [rank for rank in range(self._num_ranks) if self._read(mpi_rank.exit_name(rank)) is None]
        groups = [group for rank in ranks if (group := self._read(mpi_rank.pid_name(rank))) is not None]
        for group in groups:
            signal_group(group, number)
        return bool(groups)

    def end(self) -> None:
        """End what is left of them, and of what they say."""
        kill_all(self.processes)
        self._close_words()

    def exit_codes(self) -> tuple[int | None, ...]:
        """Return how each rank ended, in order; None for those of which nothing was heard."""
        return tuple(self._read(mpi_rank.exit_name(rank)) for rank in range(self._num_ranks))

    def _read(self, name: str) -> int | None:
        try:
            with open(os.path.join(self._launch_dir, name), encoding="ascii") as file:
                return int(file.read())
        except FileNotFoundError:
            return None

    def _close_words(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)
        self._held = []


class _Mpirun(ProcessGroup):
    """mpirun, whose ranks get signals from here: it would give them one second before SIGKILL."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], started: StartedMpi) -> None:
        super().__init__(command, environment)
        self._started = started

    def signal(self, number: int) -> None:
        if not self._started.signal_ranks(number) or number == signal.SIGKILL:
            super().signal(number)


def _mpirun_command(command: Sequence[str], ranks: Sequence[Rank], launch_dir: str) -> list[str]:
    local_size = max(rank.local_rank for rank in ranks) + 1
    hosts = list(dict.fromkeys(rank.host for rank in ranks))
    return [
        # By name: given its path, mpirun takes that for an installation and changes PATH and LD_LIBRARY_PATH of ranks.
        *("mpirun", "--host", ",".join(f"{host}:{local_size}" for host in hosts), "-np", str(len(ranks))),
        # Attached, a daemon that dies is missed; mpirun would wait for ever for one in the background.
        *("--allow-run-as-root", "--leave-session-attached", "-bind-to", "none", "-map-by", "slot"),
        *("-mca", "plm_rsh_agent", _AGENT, "-mca", "plm_rsh_no_tree_spawn", "1"),
        *("-mca", "btl_tcp_if_include", "lo", "-mca", "oob_tcp_if_include", "lo"),
        *("-mca", "pml", "ob1", "-mca", "btl", "self,tcp"),
        *("-mca", "orte_abort_on_non_zero_status", "1", "-mca", "mpi_yield_when_idle", "1"),
        *(sys.executable, mpi_rank.__file__, launch_dir, *command),
    ]


def _write_agent(launch_dir: str) -> None:
    """Write the program that mpirun calls in place of ssh; mpirun finds it on PATH, so its path may hold blanks."""
    path = os.path.join(launch_dir, _AGENT)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec {shlex.join([sys.executable, mpi_agent.__file__, launch_dir])} "$@"\n')
    os.chmod(path, 0o755)


def _make_folder(launch_dir: str, name: str) -> str:
    folder = os.path.join(launch_dir, name)
    os.mkdir(folder)
    return folder


def _add_to_path(folder: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables under which mpirun and its daemons, which look for it too, find the agent."""
    return {**environment, "PATH": f"{folder}{os.pathsep}{environment.get('PATH', os.defpath)}"}


def _open_words(launch_dir: str, num_ranks: int) -> tuple[list[Stream], list[int]]:
    """Return a FIFO for each rank's standard output and error, and their ends for writing.

    mpirun would mix words of different ranks within lines. The ends are held so that no FIFO ends before the job.
    """
    streams, held = [], []
    for rank in range(num_ranks):
        for is_error in (False, True):
            path = os.path.join(launch_dir, mpi_rank.words_name(rank, is_error=is_error))
            os.mkfifo(path)
            file: IO[bytes] = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")  # noqa: SIM115
            held.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            os.set_blocking(file.fileno(), True)
            streams.append(Stream(source=str(rank), file=file, is_error=is_error))
    return streams, held
