"""A job's ranks under one mpirun that treats instances as machines, started as SageMaker's training toolkit does.

    mpirun --host algo-2:2,algo-1:2 -np 4      the toolkit's command; there it reaches other machines through ssh
      +- sagemaker-local-rsh algo-2 orted ...  instead of ssh: a daemon for each instance, with its variables
           +- packer/localjob/mpi_rank.py      starts COMMAND, passes on its output and its exit code
                +- COMMAND

So Open MPI itself sets local ranks and local sizes, and they are those of the instance. Ranks of one instance also
communicate over TCP: Open MPI names shared memory by the machine's name, which all instances here have in common.
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
"""Variable for a daemon's folder. By default all daemons of a machine share one, and fail when others remove files."""


def check_mpirun() -> None:
    """Check that mpirun is Open MPI's; others do not know the options used here. Raises OptionsError."""
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
        """Start mpirun.

        Args:
            command: command that each rank runs.
            ranks: all ranks of the job.
            environments: environment variables of each instance, by host name.
            launch_dir: an empty folder for files that the processes exchange.

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
        self._outputs, self._held = _open_outputs(launch_dir, len(ranks))
        try:
            self._mpirun = _Mpirun(_mpirun_command(command, ranks, launch_dir), _add_to_path(launch_dir, first), self)
        except BaseException:
            self._close_outputs()
            raise

    @property
    def processes(self) -> list[ProcessGroup]:
        """The process to wait for: mpirun."""
        return [self._mpirun]

    @property
    def streams(self) -> list[Stream]:
        """Standard output and standard error of mpirun and of the ranks."""
        own = ((self._mpirun.output, False), (self._mpirun.errors, True))
        return [*self._outputs, *(Stream(source="mpirun", file=file, is_error=is_error) for file, is_error in own)]

    def signal_ranks(self, number: int) -> bool:
        """Send a signal to the process groups of all running ranks; return whether there are any."""
        ranks = [rank for rank in range(self._num_ranks) if self._read(mpi_rank.exit_name(rank)) is None]
        groups = [group for rank in ranks if (group := self._read(mpi_rank.pid_name(rank))) is not None]
        for group in groups:
            signal_group(group, number)
        return bool(groups)

    def end(self) -> None:
        """Kill the processes that are left, and close the FIFOs."""
        kill_all(self.processes)
        self._close_outputs()

    def exit_codes(self) -> tuple[int | None, ...]:
        """Return each rank's exit code, in order; None for a rank that reported none."""
        return tuple(self._read(mpi_rank.exit_name(rank)) for rank in range(self._num_ranks))

    def _read(self, name: str) -> int | None:
        try:
            with open(os.path.join(self._launch_dir, name), encoding="ascii") as file:
                return int(file.read())
        except FileNotFoundError:
            return None

    def _close_outputs(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)
        self._held = []


class _Mpirun(ProcessGroup):
    """mpirun. Signals go directly to its ranks, since mpirun would kill them one second after a signal."""

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
        # By name: started by a path, mpirun takes it for an installation and changes the ranks' PATH and library path.
        *("mpirun", "--host", ",".join(f"{host}:{local_size}" for host in hosts), "-np", str(len(ranks))),
        # Attached, so that mpirun notices when a daemon dies; it would wait forever for one in the background.
        *("--allow-run-as-root", "--leave-session-attached", "-bind-to", "none", "-map-by", "slot"),
        *("-mca", "plm_rsh_agent", _AGENT, "-mca", "plm_rsh_no_tree_spawn", "1"),
        *("-mca", "btl_tcp_if_include", "lo", "-mca", "oob_tcp_if_include", "lo"),
        *("-mca", "pml", "ob1", "-mca", "btl", "self,tcp"),
        *("-mca", "orte_abort_on_non_zero_status", "1", "-mca", "mpi_yield_when_idle", "1"),
        *(sys.executable, mpi_rank.__file__, launch_dir, *command),
    ]


def _write_agent(launch_dir: str) -> None:
    """Write the program that mpirun calls instead of ssh. mpirun finds it on PATH, so its path may contain spaces."""
    path = os.path.join(launch_dir, _AGENT)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec {shlex.join([sys.executable, mpi_agent.__file__, launch_dir])} "$@"\n')
    os.chmod(path, 0o755)


def _make_folder(launch_dir: str, name: str) -> str:
    folder = os.path.join(launch_dir, name)
    os.mkdir(folder)
    return folder


def _add_to_path(folder: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with `folder` first in PATH, so that mpirun and its daemons find the agent."""
    return {**environment, "PATH": f"{folder}{os.pathsep}{environment.get('PATH', os.defpath)}"}


def _open_outputs(launch_dir: str, num_ranks: int) -> tuple[list[Stream], list[int]]:
    """Make FIFOs for each rank's standard output and standard error; return them and descriptors for writing.

    mpirun itself would mix the output of several ranks within lines. The descriptors for writing are held open so that
    no FIFO reaches its end before the job.
    """
    streams, held = [], []
    for rank in range(num_ranks):
        for is_error in (False, True):
            path = os.path.join(launch_dir, mpi_rank.output_name(rank, is_error=is_error))
            os.mkfifo(path)
            file: IO[bytes] = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")  # noqa: SIM115
            held.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            os.set_blocking(file.fileno(), True)
            streams.append(Stream(source=str(rank), file=file, is_error=is_error))
    return streams, held
