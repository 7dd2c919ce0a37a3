"""Measures whether a loader keeps up with its consumer, and what it waits for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from packer.loading.batch_feed import MadeBatch

_NOTHING_WAITED = 0.02
"""If the consumer waits for less than this share of its time, the consumer is the bottleneck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """Measurements since the loader's first batch was requested, or since the meter was reset."""

    num_batches: int
    num_samples: int
    elapsed_s: float
    waited_s: float
    """Seconds that the consumer waited for its batches."""
    handed_over_s: float
    """Seconds that the consumer spent on batches that had arrived: copying them, or turning them into tensors."""
    batches_ready: int
    """Batches that were ready when they were requested."""
    store_s: float
    """Seconds, summed over threads, spent on reading records."""
    decode_s: float
    """Seconds, summed over threads, spent on decoding and scaling."""
    num_threads: int
    made_by: Mapping[str, int]
    """Number of batches by data host; the empty name stands for this host."""

    @property
    def samples_per_s(self) -> float:
        return self.num_samples / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def waited_share(self) -> float:
        """Share of the consumer's time spent waiting, in [0, 1]."""
        return self.waited_s / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def headroom(self) -> float:
        """The threads' time divided by the time they worked: how many times the taken samples they could have made.

        It is about 1 if the consumer waits. It does not include the threads of data hosts.
        """
        worked_s = self.store_s + self.decode_s
        return self.num_threads * self.elapsed_s / worked_s if worked_s else 0.0

    @property
    def binds(self) -> str:
        """The bottleneck: ``consumer``, ``hand-over``, ``store``, ``decode`` or ``data hosts``."""
        if self.waited_share < _NOTHING_WAITED:
            return "hand-over" if self.handed_over_s > self.elapsed_s / 2 else "consumer"
        if self._is_fed:
            return "data hosts"
        return "store" if self.store_s > self.decode_s else "decode"

    @property
    def _is_fed(self) -> bool:
        return any(self.made_by)

    def __str__(self) -> str:
        makers = ", ".join(f"{number} by {host or 'this host'}" for host, number in sorted(self.made_by.items()))
        end = f"; batches made: {makers}" if self._is_fed else f", headroom {self.headroom:.1f}"
        return (
            f"{self.num_samples:,} samples in {self.elapsed_s:.1f} s ({self.samples_per_s:,.0f}/s); waited "
            f"{self.waited_s:.2f} s ({self.waited_share:.1%}), {self.batches_ready} of {self.num_batches} batches were "
            f"ready; bound by the {self.binds}{end}"
        )


class LoaderMeter:
    """Measures one loader, on the consumer's thread."""

    def __init__(self, num_threads: int) -> None:
        self._num_threads = num_threads
        self.reset()

    def reset(self) -> None:
        """Start again with the next batch."""
        self._started_s: float | None = None
        self._num_batches = self._num_samples = self._batches_ready = 0
        self._made_by: Counter[str] = Counter()
        self._waited_s = self._handed_over_s = self._store_s = self._decode_s = 0.0

    def start(self) -> float:
        """Note that a batch is requested; return the seconds of a monotonic clock."""
        now_s = time.perf_counter()
        if self._started_s is None:
            self._started_s = now_s
        return now_s

    def count(self, made: MadeBatch, *, asked_s: float, was_ready: bool) -> None:
        """Note that a batch arrived. `asked_s` is the time that `start` returned for it."""
        self._waited_s += time.perf_counter() - asked_s
        self._num_batches += 1
        self._batches_ready += was_ready
        self._num_samples += made.num_samples
        self._made_by[made.made_by] += 1
        self._store_s += made.store_s
        self._decode_s += made.decode_s

    def count_hand_over(self, seconds: float) -> None:
        """Add seconds that the consumer spent on a batch after it arrived."""
        self._handed_over_s += seconds

    def read(self) -> MeterReading:
        """Return the measurements until now."""
        elapsed_s = 0.0 if self._started_s is None else time.perf_counter() - self._started_s
        return MeterReading(
            num_batches=self._num_batches,
            num_samples=self._num_samples,
            elapsed_s=elapsed_s,
            waited_s=self._waited_s,
            handed_over_s=self._handed_over_s,
            batches_ready=self._batches_ready,
            store_s=self._store_s,
            decode_s=self._decode_s,
            num_threads=self._num_threads,
            made_by=dict(self._made_by),
        )
