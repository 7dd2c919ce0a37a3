"""Ends a local job whose own process was killed: ``guard.py BASE``.

It reads lines ``group PID`` from its standard input. If the input ends without a line ``done``, it kills these process
groups and removes the FIFOs under BASE. A separate program that imports only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys


def main() -> None:
    """Wait until the job is done or its process is gone; in the latter case, clean up."""
    groups = []
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "done":
            return
        groups.append(int(number))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    _remove_fifos(sys.argv[1])


def _remove_fifos(base: str) -> None:
    for folder, _, names in os.walk(base):
        for path in (os.path.join(folder, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISFIFO(os.lstat(path).st_mode):
                    os.unlink(path)


if __name__ == "__main__":
    main()
