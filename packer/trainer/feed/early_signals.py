"""Handles signals that arrive before a data host listens.

In a container the data host may be process 1, and the kernel delivers only signals that process 1 handles. Without
these handlers, a host that is told to end while it imports libraries or waits for a bucket would go on.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_at_signals() -> None:
    """From now on, end the process at once at SIGTERM (exit code 143) or SIGINT (130): no work is in progress yet.

    This lasts until other handlers are set. Only the main thread may call it; calling it again changes nothing.
    """
    if all(signal.getsignal(number) is _end for number in SIGNALS):
        return
    for number in SIGNALS:
        signal.signal(number, _end)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="early-signals", daemon=True).start()


def _watch(reader: int) -> None:
    """End the process while the main thread waits inside a library, where no Python handler runs."""
    while number := os.read(reader, 1):
        if signal.getsignal(number[0]) is _end:
            _end(number[0], None)


def _end(number: int, _frame: FrameType | None) -> None:
    os.write(1, f"stopped by {signal.Signals(number).name} before it listened\n".encode())
    os._exit(128 + number)
