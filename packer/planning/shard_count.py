"""How many shards a split gets, and which item goes to which: integers only.

    shards per split  S = k * world,  k = max(1, ceil(N * b / (world * target)))

for N items of b framed bytes on average. Items in hash order are dealt round-robin, so shards differ by at most one
item; a training shard that got one fewer repeats one of its own samples (a *fill*).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from packer.errors import OptionsError
from packer.planning.splits import IntArray
from packer.shown_text import counted
from packer.specs import MAX_SHARD_BYTES, ShardSpec

MAX_FILL_PERCENT = 2
_SPREADS = 4
"""A shard's size is taken to stay within this many standard deviations of what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeEstimate:
    """Framed sizes of the records that were really decoded and encoded before planning."""

    mean_bytes: int
    """Integer mean, at least 1."""
    spread_bytes: int
    """Integer standard deviation of one record."""
    num_probed: int
    """How many records were measured, at least 1."""

    def largest_shard_bytes(self, num_records: int) -> int:
        """Return a size that a shard of this many records will hardly pass, sampling error of the mean included."""
        own_spread = math.isqrt(num_records) * self.spread_bytes
        mean_error = num_records * self.spread_bytes // max(1, math.isqrt(self.num_probed))
        return num_records * self.mean_bytes + _SPREADS * math.isqrt(own_spread**2 + mean_error**2)


def estimate_size(framed_bytes: Sequence[int]) -> SizeEstimate:
    """Return the estimate from measured sizes, in integers. Raises ValueError without any."""
    if not framed_bytes:
        raise ValueError("framed_bytes: expected at least one measured record")
    num = len(framed_bytes)
    mean = sum(framed_bytes) // num
    variance = sum((size - mean) ** 2 for size in framed_bytes) // num
    return SizeEstimate(mean_bytes=max(1, mean), spread_bytes=math.isqrt(variance), num_probed=num)


def num_probes(num_items: int) -> int:
    """Return how many good items are measured before planning."""
    return min(num_items, 512, max(32, num_items // 50))


def choose_num_shards(num_items: int, estimate: SizeEstimate, spec: ShardSpec) -> int:
    """Return a split's number of shards: a multiple of the world, none estimated to pass 128 MB.

    Raises:
        OptionsError: there are fewer items than shards.
    """
    per_round = spec.world * spec.target_bytes
    multiple = max(1, -(-num_items * estimate.mean_bytes // per_round))
    while (
        num_items > multiple * spec.world
        and estimate.largest_shard_bytes(-(-num_items // (multiple * spec.world))) > MAX_SHARD_BYTES
    ):
        multiple += 1
    return multiple * spec.world


def check_fit(split: str, num_items: int, num_shards: int, *, is_training: bool, spec: ShardSpec) -> int:
    """Return the planned fills of a split: what its shards lack to be equal; 0 for an evaluation split.

    Raises:
        OptionsError: fewer items than shards, or fills above 2 % of the items without `spec.allow_fill`; the message
            names numbers that would fit.
    """
    if num_items < num_shards:
        raise OptionsError(
            f"split {split!r} has {counted(num_items, 'item')} for {counted(num_shards, 'shard')} (a multiple of "
            f"{counted(spec.world, 'GPU')}): expected at least one item a shard; add items, give it a larger share, or "
            f"pack for fewer GPUs"
        )
    if not is_training:
        return 0
    num_fills = num_shards * -(-num_items // num_shards) - num_items
    if num_fills * 100 > num_items * MAX_FILL_PERCENT and not spec.allow_fill:
        raise OptionsError(_too_many_fills(split, num_items, num_shards, num_fills))
    return num_fills


def _too_many_fills(split: str, num_items: int, num_shards: int, num_fills: int) -> str:
    below = num_items // num_shards * num_shards
    above = below + num_shards
    fitting = [n for n in range(num_shards, 0, -1) if (n * -(-num_items // n) - num_items) * 100 <= num_items * 2]
    return (
        f"split {split!r}: {counted(num_items, 'item')} in {counted(num_shards, 'equal shard')} would repeat "
        f"{counted(num_fills, 'sample')} ({num_fills * 100 / num_items:.1f} %, expected at most {MAX_FILL_PERCENT} %); "
        f"{below:,} or {above:,} items fit {counted(num_shards, 'shard')}, these items fit "
        f"{counted(fitting[0], 'shard')}; or accept it with `allow_fill=True`"
    )


def deal(num_items: int, num_shards: int, *, classes: IntArray | None = None) -> IntArray:
    """Return each item's shard in [0, num_shards); items are in hash order.

    With `classes` (a class number per item) items sorted by (class, hash) are dealt, so each shard holds each class
    within one item of every other shard.
    """
    dealt = np.arange(num_items, dtype=np.int64) % num_shards
    if classes is None:
        return dealt
    result = np.empty(num_items, dtype=np.int64)
    result[np.argsort(classes, kind="stable")] = dealt
    return result
