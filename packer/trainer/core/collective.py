"""Messages between ranks outside of steps: a small interface, and a limit on how long a rank waits for another."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from packer.errors import OptionsError, WorkerError

T = TypeVar("T")

STALL_SHUTDOWN_S = 300
"""Seconds that a rank waits for one that does not join; most libraries by default wait longer, or forever."""
STALL_GRACE_S = 10
"""Seconds past the library's limit after which the process ends itself: libraries do not detect every stall."""
_WATCH_S = 1.0
STALL_SHUTDOWN = "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"
"""Environment variable that sets another limit in seconds, for every kind of collective."""


class Collective(Protocol):
    """Calls that every rank must make in the same order. Any of them raises WorkerError when another rank is gone."""

    def allgather(self, value: T) -> list[T]:
        """Return the values of all ranks in the order of ranks. A value must be small and picklable."""

    def waiting(self, purpose: str) -> AbstractContextManager[None]:
        """Limit how long the body waits for other ranks; past the limit the process prints why and exits with 1."""

    def close(self) -> None:
        """Leave the group of ranks after the last message. Raises nothing."""


class SoloCollective:
    """A job of one process."""

    def allgather(self, value: T) -> list[T]:
        return [value]

    def waiting(self, purpose: str) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        return


class Watchdog:
    """Ends the process when it waits too long for other ranks. One thread checks every second, which costs little."""

    def __init__(self, rank: int, limit_s: float) -> None:
        """Args: limit_s: the library's own limit; the process ends `STALL_GRACE_S` later. 0 for no limit."""
        self._rank = rank
        self._limit_s = limit_s + STALL_GRACE_S if limit_s else 0.0
        self._waits: _Wait | None = None
        if self._limit_s:
            threading.Thread(target=self._watch, daemon=True).start()

    @contextlib.contextmanager
    def waiting(self, purpose: str) -> Iterator[None]:
        """As `Collective.waiting`."""
        before = self._waits
        self._waits = _Wait(until_s=time.monotonic() + self._limit_s, purpose=purpose)
        try:
            yield
        finally:
            self._waits = before

    def _watch(self) -> None:
        while True:
            time.sleep(_WATCH_S)
            waits = self._waits
            if waits is not None and time.monotonic() > waits.until_s:
                self._give_up(waits.purpose)

    def _give_up(self, purpose: str) -> None:
        """End the process: the waiting thread is inside a library, where no exception can reach it."""
        text = (
            f"error: rank {self._rank} waited {self._limit_s:g} s for {purpose}: another rank hangs or is gone "
            f"(the limit is {STALL_SHUTDOWN} + {STALL_GRACE_S})\n"
        )
        os.write(2, text.encode())
        os._exit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wait:
    until_s: float
    purpose: str


def total(collective: Collective, values: Sequence[float]) -> tuple[float, ...]:
    """Return one sum over all ranks for each position in `values`, added in the order of ranks."""
    return tuple(sum(column) for column in zip(*collective.allgather(tuple(values)), strict=True))


def stall_limit_s() -> float:
    """Return how many seconds a rank may wait for another, 0 for no limit. Raises as `parse_stall_limit`."""
    return parse_stall_limit(os.environ.setdefault(STALL_SHUTDOWN, str(STALL_SHUTDOWN_S)))


def parse_stall_limit(text: str) -> float:
    """Return the seconds of the stall limit, 0 for none. Raises OptionsError naming the variable."""
    if not (text.isascii() and text.isdigit()):
        raise OptionsError(f"{STALL_SHUTDOWN}: expected a whole number of seconds, 0 for no limit, got {text!r}")
    return float(text)


def lost_rank_error(reason: str) -> WorkerError:
    """Return the error of a rank that cannot continue because another rank stopped."""
    first_line = reason.strip().partition("\n")[0]
    return WorkerError(f"another rank stopped, see its message; this one cannot go on without it ({first_line})")
