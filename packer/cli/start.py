"""Where the command line's process begins: Ctrl-C and SIGTERM are answered from here on, while the rest is imported."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from types import FrameType

from packer.cli.stop_signal import STOP

_OBJECTS_PER_COLLECTION = 50_000
"""Libraries make a hundred thousand objects that stay: with Python's 700, collections took 0.2 s of each run."""
_GRACE_S = 1.0
"""A second Ctrl-C within it does not disturb the tidying up that the first one began."""


class InterruptHandler:
    """Ends the process at Ctrl-C or SIGTERM: at once while nothing has begun, by KeyboardInterrupt in a command.

    SIGTERM is taken, too, since the first process of a container would ignore it, and to tidy up.
    """

    def __init__(self) -> None:
        self.is_running = False
        """Whether a command runs, which catches KeyboardInterrupt, and tidies up."""
        self._interrupted_at: float | None = None

    def install(self) -> None:
        """Take SIGINT and SIGTERM, unless this process was started to ignore them."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)
                sys.unraisablehook = self._take_unraisable

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        STOP.number = number
        if not self.is_running or (self._interrupted_at is not None and now - self._interrupted_at > _GRACE_S):
            _end()
        if self._interrupted_at is None:
            self._interrupted_at = now
            raise KeyboardInterrupt

    def _take_unraisable(self, problem: sys.UnraisableHookArgs) -> None:
        """End the process where the interrupt was raised in a destructor or callback, which goes on without it."""
        if issubclass(problem.exc_type, KeyboardInterrupt):
            _end()
        sys.__unraisablehook__(problem)


def _end() -> None:
    """End this process without going through the interpreter's own end. Its workers end with it."""
    if "--json" in sys.argv:
        os.write(1, f'{{"ok":false,"error":"{STOP.word}","exit_code":{STOP.code}}}\n'.encode())
    os.write(2, f"shardpack: {STOP.word}\n".encode())
    os._exit(STOP.code)


def _exit_now(code: int) -> None:
    """End the process without taking the interpreter apart.

    That takes as long as looking at all objects once more, and a library's thread that still wants Python meanwhile
    ends the process by SIGABRT. Nothing is left to be done: commands close what they open.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    handler = InterruptHandler()
    handler.install()
    import gc

    # NumPy is here to count; a pool of threads for linear algebra costs a third of its import. Workers have it so, too.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(_OBJECTS_PER_COLLECTION)
    from packer.without_pandas import leave_pandas_out

    leave_pandas_out()
    from packer.cli.main import run

    if sys.stdout is not None:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    handler.is_running = True
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while an error was being told
        code = STOP.code
    _exit_now(code)  # threads that still wait for a network are not waited for, nor is another Ctrl-C answered
