"""Where items go when only some of them are at hand: closed forms of what splits.py and shard_count.py say of all.

    class and rank in it -> place in (class, hash) order -> split, and rank in that split's own order -> shard

Without classes the first two steps fall away: the rank in hash order is the place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from packer.planning.splits import IntArray


def contiguous(places: IntArray, counts: Sequence[int]) -> IntArray:
    """Return the split of each place where the first split has the first places, as without classes and groups."""
    return np.searchsorted(np.cumsum(counts), places, side="right")


def interleaved(places: IntArray, counts: Sequence[int]) -> tuple[IntArray, IntArray]:
    """Return the split of each place in (class, hash) order, and its rank among the places of that split.

    Args:
        places: in [0, sum(counts)), in any order.
        counts: items of each split.
    """
    owner = np.full(len(places), -1, dtype=np.int64)
    rank = np.zeros(len(places), dtype=np.int64)
    for split in range(len(counts)):
        own_rank = _num_before(split, places, counts)
        is_own = (own_rank < counts[split]) & (
            _position(split, np.minimum(own_rank, counts[split] - 1), counts) == places
        )
        owner[is_own], rank[is_own] = split, own_rank[is_own]
    return owner, rank


def _num_before(split: int, places: IntArray, counts: Sequence[int]) -> IntArray:
    """Return how many of a split's items stand before each place, by bisection: their positions ascend."""
    # An item's position differs by less than one for each split from the ideal one, so its rank does, too.
    about, margin = places * counts[split] // max(1, sum(counts)), len(counts) + 2
    low = np.clip(about - margin, 0, counts[split])
    high = np.clip(about + margin, 0, counts[split])
    while bool((low < high).any()):
        middle = (low + high) // 2
        is_before = _position(split, np.minimum(middle, counts[split] - 1), counts) < places
        is_open = low < high
        low = np.where(is_open & is_before, middle + 1, low)
        high = np.where(is_open & ~is_before, middle, high)
    return low


def _position(split: int, ranks: IntArray, counts: Sequence[int]) -> IntArray:
    """Return where a split's items of some ranks stand among all: after those of a lower ideal place, see splits.py."""
    total = sum(counts)
    ideal = (2 * ranks + 1) * total // max(1, counts[split])
    before = ranks.copy()
    for other, count in enumerate(counts):
        if other != split:
            # Of equal places the earlier split's come first.
            limit = ideal + (other < split)
            before += _num_below(limit, count, total)
    return before


def _num_below(limits: IntArray, count: int, total: int) -> IntArray:
    """Return how many of a split's `count` ideal places, (2 j + 1) total // count, are below each limit."""
    # (2 j + 1) total // count < limit  is  (2 j + 1) total < limit count  is  2 j + 1 <= (limit count - 1) // total
    return np.clip(((limits * count - 1) // total + 1) // 2, 0, count)
