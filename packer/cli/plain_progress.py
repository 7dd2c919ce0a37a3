"""Progress where standard error is a file or a log: a plain line now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_INTERVAL_S = 30.0
"""Seconds from one line to the next, at most."""
_SHARE = 0.05
"""Share of all items after which a line comes sooner."""
_LEAST_INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What was done in a phase up to a moment."""

    num_items: int = 0
    num_bytes: int = 0
    num_rejects: int = 0


class PlainProgress:
    """Says where a phase is: first after 30 s, then every 30 s, or sooner where 5 % more are done.

    A thread of its own speaks, so that a phase which stands still is seen to do so. A phase of less than 30 s says
    nothing.
    """

    def __init__(self, say: Callable[[str], None], *, interval_s: float = _INTERVAL_S) -> None:
        self._say = say
        self._interval_s = interval_s
        self._least_interval_s = min(_LEAST_INTERVAL_S, interval_s)
        self._state = _State()
        self._lock = threading.Lock()

    @contextmanager
    def phase(self, name: str, *, total: int | None) -> Iterator[None]:
        """See `Progress.phase`."""
        self._state = _State()
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
            self._say(f"{name}: done in {format_seconds(elapsed_s)}: {_describe(self._state, elapsed_s)}")

    def advance(self, num_items: int, num_bytes: int) -> None:
        """See `Progress.advance`."""
        self._add(_State(num_items=num_items, num_bytes=num_bytes))

    def reject(self, num_items: int) -> None:
        """See `Progress.reject`."""
        self._add(_State(num_rejects=num_items))

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self._say(text)

    def _add(self, more: _State) -> None:
        with self._lock:
            self._state = _State(
                num_items=self._state.num_items + more.num_items,
                num_bytes=self._state.num_bytes + more.num_bytes,
                num_rejects=self._state.num_rejects + more.num_rejects,
            )

    def _speak(self, name: str, total: int | None, started: float, ended: threading.Event) -> None:
        spoken_at, spoken_items = started, 0
        while not ended.wait(self._least_interval_s):
            now, state = time.monotonic(), self._state
            is_late = now - spoken_at >= self._interval_s
            is_further = spoken_items and total and state.num_items - spoken_items >= _SHARE * total
            if is_late or is_further:
                self._say(f"{name}: {describe_phase(state, total, now - started)}")
                spoken_at, spoken_items = now, max(1, state.num_items)


def describe_phase(state: _State, total: int | None, elapsed_s: float) -> str:
    """Return ``1,200 of 4,000 images (30 %), 80 images/s, 9.1 MB/s, 2 rejects, 35 s left``."""
    if total is None:
        return f"{_describe(state, elapsed_s)}, {format_seconds(elapsed_s)} so far"
    share = f"{100 * state.num_items // total} %" if total else "100 %"
    missing = total - state.num_items
    left = f", {format_seconds(missing * elapsed_s / state.num_items)} left" if state.num_items else ""
    return f"{state.num_items:,} of {total:,} ({share}), {_describe(state, elapsed_s)}{left}"


def _describe(state: _State, elapsed_s: float) -> str:
    seconds = max(1e-3, elapsed_s)
    rejects = f"{state.num_rejects:,} reject{'s' * (state.num_rejects != 1)}"
    return f"{state.num_items / seconds:,.0f} images/s, {state.num_bytes / seconds / 1e6:,.1f} MB/s, {rejects}"


def format_seconds(seconds: float) -> str:
    """Return ``42 s``, ``3 min 20 s`` or ``5 h 12 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
