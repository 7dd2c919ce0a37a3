"""Measures how long training takes and how much of that time it waits for data."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements over a span of time."""

    steps: int
    seconds: float
    data_wait_s: float
    """The part of `seconds` spent waiting for batches."""

    @property
    def wait_share(self) -> float:
        """Share of the time spent waiting for data, in [0, 1]."""
        return self.data_wait_s / self.seconds if self.seconds else 0.0

    @property
    def step_s(self) -> float:
        """Mean seconds of a step, waiting included."""
        return self.seconds / self.steps if self.steps else 0.0

    def images_per_second(self, images_per_step: int) -> float:
        """Return the images trained per second. `images_per_step` is the number of images in one step."""
        return self.steps * images_per_step / self.seconds if self.seconds else 0.0


class Meter:
    """Measures from its creation on."""

    def __init__(self) -> None:
        self._started_s = time.perf_counter()
        self._waited_s = 0.0
        self._steps = 0

    def count_waits(self, items: Iterator[T]) -> Iterator[T]:
        """Yield the items. Count one step for each, and the time until it arrives as waiting for data."""
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
        """Return the measurements since creation."""
        return Rates(steps=self._steps, seconds=time.perf_counter() - self._started_s, data_wait_s=self._waited_s)


def rates_between(before: Rates, after: Rates) -> Rates:
    """Return the measurements between two readings of one meter."""
    return Rates(
        steps=after.steps - before.steps,
        seconds=after.seconds - before.seconds,
        data_wait_s=after.data_wait_s - before.data_wait_s,
    )


def peak_memory_bytes() -> int:
    """Return the peak memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
