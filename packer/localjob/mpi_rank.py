"""One rank under mpirun: ``mpi_rank.py LAUNCH_DIR COMMAND...`` runs COMMAND and reports how it ended.

    rank-0.pid      the rank's process group
    rank-0.out      FIFO of the rank's standard output; rank-0.err is that of its standard error
    rank-0.exit     the rank's exit code, negative for a signal

A separate program that imports only the standard library.
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


def output_name(rank: int, *, is_error: bool) -> str:
    """Return the name of the FIFO of a rank's standard output, or standard error if `is_error`."""
    return f"rank-{rank}.{'err' if is_error else 'out'}"


def main() -> None:
    """Run COMMAND and exit with its code."""
    launch_dir, *command = sys.argv[1:]
    rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    # Signals to the group reach the command too; this process must outlive it. Children do not inherit a handler, but
    # they would inherit SIG_IGN.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _wait_on)
    _put(launch_dir, pid_name(rank), os.getpid())
    paths = [os.path.join(launch_dir, output_name(rank, is_error=is_error)) for is_error in (False, True)]
    with open(paths[0], "wb") as output, open(paths[1], "wb") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
    code = process.wait()
    _kill_rest_of_group()
    _put(launch_dir, exit_name(rank), code)
    sys.exit(code if code >= 0 else 128 - code)


def _kill_rest_of_group() -> None:
    """Kill processes that the command left running, if the system has /proc to list them."""
    listed = os.listdir("/proc") if os.path.isdir("/proc") else []
    for pid in (int(name) for name in listed if name.isdigit()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) == os.getpid() != pid:
                os.kill(pid, signal.SIGKILL)


def _put(launch_dir: str, name: str, number: int) -> None:
    """Write a number to a file; other processes never see the file half written."""
    path = os.path.join(launch_dir, name)
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(str(number))
    os.rename(f"{path}.new", path)


def _wait_on(_number: int, _frame: FrameType | None) -> None:
    return


if __name__ == "__main__":
    main()
