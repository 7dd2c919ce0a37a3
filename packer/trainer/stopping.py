"""Ending at SIGTERM, which SageMaker sends two minutes before it kills, and spot instances get.

A checkpoint is written after each epoch, so there is nothing to save: the process has to end, and to say so. As the
first process of a container it would not even do that by itself. No exception is raised for it: the main thread may be
waiting inside a library where no Python handler runs, a library may swallow the exception, and the end of the
interpreter may wait for threads of TensorFlow or for other ranks. So a thread that the signal wakes ends the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM
_MESSAGE = b"stopped by SIGTERM; the same command goes on after the last epoch that has a checkpoint\n"


@contextlib.contextmanager
def ending_at_sigterm() -> Iterator[None]:
    """End the process with exit code 143 at SIGTERM, at once and wherever the body is; what it left behind stays.

    To be entered by the main thread.
    """
    waker, woken = socket.socketpair()
    waker.setblocking(False)
    threading.Thread(target=_end_when_told, args=(woken,), daemon=True).start()
    handler_before = signal.signal(signal.SIGTERM, _do_nothing)
    waker_before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(waker_before)
        signal.signal(signal.SIGTERM, handler_before)
        waker.close()


def _do_nothing(signal_number: int, frame: FrameType | None) -> None:
    """Take the place of the kernel's action: only a signal with a handler is written to the wake-up socket."""


def _end_when_told(woken: socket.socket) -> None:
    with woken:
        while received := woken.recv(1):
            if received[0] == signal.SIGTERM:
                os.write(2, _MESSAGE)
                os._exit(EXIT_CODE)
