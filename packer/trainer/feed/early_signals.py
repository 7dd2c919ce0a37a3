"""Signals that come before a data host listens. In a container it may be process 1, to which the kernel only passes on
signals that are handled: without this, one that is told to end while it imports or waits for a bucket would go on.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_at_signals() -> None:
    """End the process at SIGTERM (exit code 143) or SIGINT (130), at once: nothing is under way yet.

    To be called by the main thread.
    """
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    os.write(1, f"stopped by {signal.Signals(number).name} before it listened\n".encode())
    os._exit(128 + number)
