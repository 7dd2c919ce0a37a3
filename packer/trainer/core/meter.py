"""Where the time of training goes: seconds of steps, and seconds waited for data."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured since a certain moment."""

    steps: int
    seconds: float
    data_wait_s: float
    """Of `seconds`: waited for batches."""

    @property
    def wait_share(self) -> float:
        """Share of the time that was waited for data, in [0, 1]."""
        return self.data_wait_s / self.seconds if self.seconds else 0.0

    @property
    def step_s(self) -> float:
        """Mean seconds of a step, waiting included."""
        return self.seconds / self.steps if self.steps else 0.0

    def images_per_second(self, images_per_step: int) -> float:
        """Return how many images went through in a second, given those of one step."""
        return self.steps * images_per_step / self.seconds if self.seconds else 0.0


class Meter:
    """Counts from its making on."""

    def __init__(self) -> None:
        self._started_s = time.perf_counter()
        self._waited_s = 0.0
        self._steps = 0

    def count_waits(self, items: Iterator[T]) -> Iterator[T]:
        """Yield the items; the time until each of them is there was waited for data. Each stands for a step."""
        while True:
            asked_s = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self._waited_s += time.perf_counter() - asked_s
            self._steps += 1
            yield item

    def read(self) -> Rates:
        """Return what was measured so far."""
        return Rates(steps=self._steps, seconds=time.perf_counter() - self._started_s, data_wait_s=self._waited_s)


def rates_between(before: Rates, after: Rates) -> Rates:
    """Return what was measured between two readings of one meter."""
    return Rates(
        steps=after.steps - before.steps,
        seconds=after.seconds - before.seconds,
        data_wait_s=after.data_wait_s - before.data_wait_s,
    )


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
