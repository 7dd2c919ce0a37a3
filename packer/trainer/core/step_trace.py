"""A profile of the first steps of a run, as the framework's own profiler makes it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager

TraceOpener = Callable[[str], AbstractContextManager[None]]
"""Profiles its body into a folder."""


class StepTrace:
    """Runs from `start` until so many steps are over."""

    def __init__(self, open_trace: TraceOpener, folder: str, num_steps: int) -> None:
        """Args: folder: which is made; empty for no profile."""
        self._open, self._folder, self._left = open_trace, folder, num_steps
        self._running = contextlib.ExitStack()

    def start(self) -> None:
        """Begin. Raises OSError."""
        if self._folder:
            os.makedirs(self._folder, exist_ok=True)
            self._running.enter_context(self._open(self._folder))

    def step(self) -> None:
        """Count a step that is over; after the last one the profile is written. Raises OSError."""
        self._left -= 1
        if self._left == 0:
            self.close()

    def close(self) -> None:
        """Write what there is of it. Raises OSError."""
        self._running.close()
