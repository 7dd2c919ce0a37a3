"""Ending at SIGTERM, which SageMaker sends two minutes before it kills, and spot instances get.

A checkpoint is written after each epoch, so there is nothing to save: the process has to end, and to say so. As the
first process of a container it would not even do that by itself. The main thread may be waiting inside TensorFlow,
where no Python handler runs, so a thread that the signal wakes ends the process after a while.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType

GRACE_S = 15.0
EXIT_CODE = 128 + signal.SIGTERM
_MESSAGE = b"stopped by SIGTERM; the same command goes on after the last epoch that has a checkpoint\n"
_FORCED_MESSAGE = b"ended after SIGTERM; a library call did not return in time\n"


@contextlib.contextmanager
def ending_at_sigterm(grace_s: float = GRACE_S) -> Iterator[None]:
    """Raise SystemExit(143) in the body at SIGTERM, and end the process `grace_s` later if it is still there.

    To be entered by the main thread.
    """
    waker, woken = socket.socketpair()
    waker.setblocking(False)
    threading.Thread(target=_end_later, args=(woken, grace_s), daemon=True).start()
    handler_before = signal.signal(signal.SIGTERM, _end)
    waker_before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(waker_before)
        signal.signal(signal.SIGTERM, handler_before)
        waker.close()


def _end(signal_number: int, frame: FrameType | None) -> None:
    os.write(2, _MESSAGE)
    raise SystemExit(EXIT_CODE)


def _end_later(woken: socket.socket, grace_s: float) -> None:
    with woken:
        while received := woken.recv(1):
            if received[0] == signal.SIGTERM:
                time.sleep(grace_s)
                os.write(2, _FORCED_MESSAGE)
                os._exit(EXIT_CODE)
