"""One rank under mpirun: ``mpi_rank.py LAUNCH_DIR COMMAND...`` runs COMMAND and tells the job how it went.

    rank-0.pid      the rank's process group
    rank-0.out      FIFO of its standard output; rank-0.err of its standard error
    rank-0.exit     its exit code, minus a number for a signal

A program of its own that needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from types import FrameType


def pid_name(rank: int) -> str:
    """Return the name of the file that holds a rank's process group."""
    return f"rank-{rank}.pid"


def exit_name(rank: int) -> str:
    """Return the name of the file that holds a rank's exit code."""
    return f"rank-{rank}.exit"


def words_name(rank: int, *, is_error: bool) -> str:
    """Return the name of the FIFO that takes what a rank says."""
    return f"rank-{rank}.{'err' if is_error else 'out'}"


def main() -> None:
    """Run COMMAND and end as it does."""
    launch_dir, *command = sys.argv[1:]
    rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    # The command gets the group's signals too; this process outlives it. A handler, unlike SIG_IGN, is not inherited.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _wait_on)
    _put(launch_dir, pid_name(rank), os.getpid())
    paths = [os.path.join(launch_dir, words_name(rank, is_error=is_error)) for is_error in (False, True)]
    with open(paths[0], "wb") as output, open(paths[1], "wb") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
    code = process.wait()
    _kill_rest_of_group()
    _put(launch_dir, exit_name(rank), code)
    sys.exit(code if code >= 0 else 128 - code)


def _kill_rest_of_group() -> None:
    """End what the command has left running, where the system lists processes."""
    listed = os.listdir("/proc") if os.path.isdir("/proc") else []
    for pid in (int(name) for name in listed if name.isdigit()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) == os.getpid() != pid:
                os.kill(pid, signal.SIGKILL)


def _put(launch_dir: str, name: str, number: int) -> None:
    """Write a small file whole."""
    path = os.path.join(launch_dir, name)
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(str(number))
    os.rename(f"{path}.new", path)


def _wait_on(_number: int, _frame: FrameType | None) -> None:
    return


if __name__ == "__main__":
    main()
