"""Progress where standard error is a file or a log: a plain line now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from packer.cli.phase_text import PhaseState, describe_end, describe_phase

_INTERVAL_S = 30.0
"""Seconds from one line to the next, at most."""
_SHARE = 0.05
"""Share of all items after which a line comes sooner."""
_LEAST_INTERVAL_S = 5.0


class PlainProgress:
    """Says where a phase is: first after 30 s, then every 30 s, or sooner where 5 % more are done.

    A thread of its own speaks, so that a phase which stands still is seen to do so. A phase of less than 30 s says
    nothing.
    """

    def __init__(self, write_line: Callable[[str], None], *, interval_s: float = _INTERVAL_S) -> None:
        self._write_line = write_line
        self._interval_s = interval_s
        self._least_interval_s = min(_LEAST_INTERVAL_S, interval_s)
        self._state = PhaseState()
        self._lock = threading.Lock()

    @contextmanager
    def phase(self, name: str, *, total: int | None) -> Iterator[None]:
        """See `Progress.phase`."""
        self._state = PhaseState()
        started, ended = time.monotonic(), threading.Event()
        speaker = threading.Thread(target=self._speak, args=(name, total, started, ended), daemon=True)
        speaker.start()
        try:
            yield
        finally:
            ended.set()
            speaker.join()
        elapsed_s = time.monotonic() - started
        if elapsed_s >= self._interval_s:
            self._write_line(f"{name}: done, {describe_end(self._state, elapsed_s)}")

    def advance(self, num_items: int, num_bytes: int) -> None:
        """See `Progress.advance`."""
        self._add(PhaseState(num_items=num_items, num_bytes=num_bytes))

    def reuse(self, num_items: int) -> None:
        """See `Progress.reuse`."""
        self._add(PhaseState(num_reused=num_items))

    def reject(self, num_items: int) -> None:
        """See `Progress.reject`."""
        self._add(PhaseState(num_rejects=num_items))

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self._write_line(text)

    def _add(self, more: PhaseState) -> None:
        with self._lock:
            self._state = self._state.plus(more)

    def _speak(self, name: str, total: int | None, started: float, ended: threading.Event) -> None:
        spoken_at, spoken_items = started, 0
        while not ended.wait(self._least_interval_s):
            now, state = time.monotonic(), self._state
            is_late = now - spoken_at >= self._interval_s
            is_further = spoken_items and total and state.num_done - spoken_items >= _SHARE * total
            if is_late or is_further:
                self._write_line(f"{name}: {describe_phase(state, total, now - started)}")
                spoken_at, spoken_items = now, max(1, state.num_done)
