"""Shards of records whose sizes are known before they are packed: equal in records, and none above 128 MB.

Items are dealt in hash order, as all are. Only where that would make a shard too large, because few of the items hold
most of the bytes, they are dealt by size:

    items --largest first--> rounds of one item a shard --the largest to the shard that holds least--> shards
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from packer.errors import OptionsError
from packer.planning.shard_count import SizeEstimate, choose_num_shards, deal
from packer.planning.splits import IntArray
from packer.specs import MAX_SHARD_BYTES, ShardSpec

_PLANNED_BYTES = MAX_SHARD_BYTES * 98 // 100
"""The rest is for samples that stand in for rejected items, and for keys and columns of more than average length."""


@dataclass(frozen=True, slots=True)
class KnownSizes:
    """The framed size of every item's record."""

    framed_bytes: IntArray
    """In the items' order."""

    @property
    def mean_bytes(self) -> int:
        """Integer mean, at least 1."""
        return max(1, int(self.framed_bytes.sum()) // max(1, len(self.framed_bytes)))


def choose_shards_for_sizes(
    name: str, sizes: KnownSizes, spec: ShardSpec, *, is_training: bool, classes: IntArray | None
) -> tuple[int, IntArray]:
    """Return a split's number of shards, and each item's shard.

    They are as many as the target asks for, more where one would pass 128 MB. With `classes` (a class number per item)
    each shard holds each class within one item of every other shard, so items are never dealt by size.

    Raises:
        OptionsError: no number of shards will do.
    """
    framed = sizes.framed_bytes
    num_items = len(framed)
    estimate = SizeEstimate(mean_bytes=sizes.mean_bytes, spread_bytes=0, num_probed=max(1, num_items))
    num_shards = least = choose_num_shards(num_items, estimate, spec)
    while True:
        dealt = deal(num_items, num_shards, classes=classes)
        largest = largest_shard_bytes(framed, dealt, num_shards, is_training=is_training)
        if largest > _PLANNED_BYTES and classes is None:
            dealt = deal_by_size(framed, num_shards)
            largest = largest_shard_bytes(framed, dealt, num_shards, is_training=is_training)
        if largest <= _PLANNED_BYTES or num_shards == least > num_items:
            return num_shards, dealt
        # Steps of a sixteenth at most, since shards beyond those that are needed lead away from the target.
        excess = (largest - _PLANNED_BYTES) * num_shards // (_PLANNED_BYTES * spec.world)
        num_shards += spec.world * max(1, min(excess, num_shards // (16 * spec.world)))
        if num_shards > num_items:
            raise OptionsError(
                f"split {name!r}: {num_items:,} items, the largest of {int(framed.max()):,} bytes, fit no number of "
                f"shards (a multiple of {spec.world} GPUs) that are equal in records and hold at most "
                f"{MAX_SHARD_BYTES // 10**6} MB: leave out the largest, or shrink them with `resize`"
            )


def deal_by_size(framed_bytes: IntArray, num_shards: int) -> IntArray:
    """Return each item's shard in [0, num_shards); the first ones hold an item more where the items do not divide.

    Ties go to the item that comes first and to the shard of the lowest number.
    """
    largest_first = np.argsort(-framed_bytes, kind="stable")
    dealt = np.empty(len(framed_bytes), dtype=np.int64)
    held = np.zeros(num_shards, dtype=np.int64)
    for start in range(0, len(framed_bytes), num_shards):
        items = largest_first[start : start + num_shards]
        shards = np.argsort(held, kind="stable")[: len(items)]
        dealt[items] = shards
        held[shards] += framed_bytes[items]
    fullest_first = np.argsort(-np.bincount(dealt, minlength=num_shards), kind="stable")
    number = np.empty(num_shards, dtype=np.int64)
    number[fullest_first] = np.arange(num_shards)
    return number[dealt]


def largest_shard_bytes(framed_bytes: IntArray, dealt: IntArray, num_shards: int, *, is_training: bool) -> int:
    """Return the size of the largest shard; a training shard that lacks a record repeats its smallest one."""
    # Sums of integers are exact in floating point up to 2**53.
    held = np.bincount(dealt, weights=framed_bytes, minlength=num_shards).astype(np.int64)
    counts = np.bincount(dealt, minlength=num_shards)
    if is_training and len(dealt):
        largest_first = np.argsort(-framed_bytes, kind="stable")
        smallest = np.zeros(num_shards, dtype=np.int64)
        smallest[dealt[largest_first]] = framed_bytes[largest_first]  # of a repeated index the last value stays
        held += np.where(counts < counts.max(), smallest, 0)
    return int(held.max())
