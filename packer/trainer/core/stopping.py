"""Ending at SIGTERM, which SageMaker sends two minutes before it kills, and spot instances get.

In the middle of training the signal sets a mark: the next step carries it to all ranks, and all of them save after the
same step. Elsewhere there is nothing to save, and the process ends at once. No exception is raised for it: the main
thread may be waiting inside a library where no Python handler runs, a library may swallow the exception, and the end of
the interpreter may wait for threads of a framework or for other ranks. So a thread that the signal wakes ends the
process.
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
"""Seconds from the signal to the end at the latest, whatever the step under way or the other ranks do."""
_AT_ONCE = "stopped by SIGTERM; the same command goes on after the last checkpoint\n"


class Stopper:
    """Whether this process was told to end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_deferring = False
        self._is_marked = False

    @property
    def is_marked(self) -> bool:
        """The signal came, and the process goes on to save."""
        return self._is_marked

    @contextlib.contextmanager
    def deferring(self) -> Iterator[None]:
        """In the body, a signal sets the mark instead of ending the process at once.

        The body has to look at the mark before it ends. A process that does not end within `SAVE_LIMIT_S` of the
        signal is ended.
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
        """Take the signal, in a thread."""
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
    """End the process with exit code 143 at SIGTERM, at once and wherever the body is, unless it defers the end.

    To be entered by the main thread.
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
    """Take the place of the kernel's action: only a signal with a handler is written to the wake-up socket."""


def _end_when_told(woken: socket.socket, stopper: Stopper) -> None:
    with woken:
        while received := woken.recv(1):
            if received[0] == signal.SIGTERM:
                stopper.receive()
