"""Ending at SIGTERM, which SageMaker sends two minutes before it kills a job, also when it takes a spot instance back.

In the middle of training the signal sets a mark. The next step carries the mark to all ranks, and all of them save
after the same step. Elsewhere there is nothing to save, and the process ends at once. The signal raises no exception:
the main thread may be waiting inside a library where no Python handler runs, a library may swallow the exception, and
the interpreter may wait at its end for threads of a framework or for other ranks. So the signal wakes a thread, and
that thread ends the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

EXIT_CODE = 128 + signal.SIGTERM
SAVE_LIMIT_S = 20.0
"""Seconds after the signal at which the process ends at the latest, even if a step or another rank hangs."""
_AT_ONCE = "stopped by SIGTERM; the same command goes on after the last checkpoint\n"


class Stopper:
    """Knows whether this process was told to end, and whether it may end at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_deferring = False
        self._is_marked = False

    @property
    def is_marked(self) -> bool:
        """The signal has arrived, and the process goes on until it has saved."""
        return self._is_marked

    @contextlib.contextmanager
    def deferring(self) -> Iterator[None]:
        """In the body, a signal sets the mark instead of ending the process at once.

        The body must check the mark before it returns. A process that is still running `SAVE_LIMIT_S` seconds after
        the signal is ended.
        """
        with self._lock:
            self._is_deferring = True
        try:
            yield
        finally:
            with self._lock:
                self._is_deferring = False

    def end(self, message: str) -> NoReturn:
        """End the process with exit code 143 and a line on standard error."""
        sys.stdout.flush()
        os.write(2, f"{message}\n".encode())
        os._exit(EXIT_CODE)

    def receive(self) -> None:
        """React to the signal; called in a thread of its own."""
        with self._lock:
            if not self._is_deferring:
                os.write(2, _AT_ONCE.encode())
                os._exit(EXIT_CODE)
            if not self._is_marked:
                self._is_marked = True
                timer = threading.Timer(SAVE_LIMIT_S, self._give_up)
                timer.daemon = True
                timer.start()

    def _give_up(self) -> None:
        text = (
            f"stopped by SIGTERM; the state could not be saved within {SAVE_LIMIT_S:g} s; "
            "the same command goes on after the last checkpoint\n"
        )
        os.write(2, text.encode())
        os._exit(EXIT_CODE)


@contextlib.contextmanager
def ending_at_sigterm() -> Iterator[Stopper]:
    """In the body, SIGTERM ends the process at once with exit code 143, unless the body defers the end.

    Only the main thread may enter it.
    """
    stopper = Stopper()
    waker, woken = socket.socketpair()
    waker.setblocking(False)
    threading.Thread(target=_end_when_told, args=(woken, stopper), daemon=True).start()
    handler_before = signal.signal(signal.SIGTERM, _do_nothing)
    waker_before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    try:
        yield stopper
    finally:
        signal.set_wakeup_fd(waker_before)
        signal.signal(signal.SIGTERM, handler_before)
        waker.close()


def _do_nothing(signal_number: int, frame: FrameType | None) -> None:
    """Replace the kernel's default action: Python writes only signals with a handler to the wake-up socket."""


def _end_when_told(woken: socket.socket, stopper: Stopper) -> None:
    with woken:
        while received := woken.recv(1):
            if received[0] == signal.SIGTERM:
                stopper.receive()
