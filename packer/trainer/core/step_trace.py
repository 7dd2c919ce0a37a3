"""A profile of the first steps of a run, made by the framework's own profiler."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager

TraceOpener = Callable[[str], AbstractContextManager[None]]
"""Returns a context manager that profiles its body and writes the profile to the given folder."""


class StepTrace:
    """Profiles from `start` until `num_steps` steps are over."""

    def __init__(self, open_trace: TraceOpener, folder: str, num_steps: int) -> None:
        """Args: folder: where the profile goes; made if missing; empty for no profile."""
        self._open, self._folder, self._left = open_trace, folder, num_steps
        self._running = contextlib.ExitStack()

    def start(self) -> None:
        """Start the profiler. Raises OSError."""
        if self._folder:
            os.makedirs(self._folder, exist_ok=True)
            self._running.enter_context(self._open(self._folder))

    def step(self) -> None:
        """Count a finished step; after the last one, write the profile. Raises OSError."""
        self._left -= 1
        if self._left == 0:
            self.close()

    def close(self) -> None:
        """Stop the profiler and write what it has recorded. Raises OSError."""
        self._running.close()
