"""Which 64-bit hashes differ in few bits, without comparing all with all.

The bits are cut into 3 bands. Of two hashes that differ in 8 bits or fewer, one band differs in 2 or fewer. So each
band of a hash is looked up among the bands of all others, as it is and with each 1 and 2 of its bits turned. That finds
every such pair, once for each band, and few others: of hashes without a pattern about half as many for each hash as
there are millions of them, times 232 look-ups. Memory is 130 MB for a million hashes without a pattern, and the pairs
found.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt

from packer.planning.splits import IntArray

MAX_BITS = 8
"""Hashes that differ in more bits are no pair."""
_BANDS = ((0, 22), (22, 21), (43, 21))
"""First bit and number of bits of each."""
_MAX_TURNED = 2
_CHUNK_PAIRS = 1 << 20
_SET_BITS = np.array([number.bit_count() for number in range(1 << 16)], dtype=np.uint8)

Hashes = npt.NDArray[np.uint64]


def near_pairs(hashes: Hashes) -> tuple[IntArray, IntArray]:
    """Return the pairs of different hashes that differ in at most MAX_BITS bits.

    Args:
        hashes: of shape (n,), each once.

    Returns:
        Rows of shape (pairs, 2), the lower first, sorted; and in how many bits each pair differs, of shape (pairs,).
    """
    found = [_near(hashes, left, right) for band in _BANDS for left, right in _candidates(hashes, *band)]
    none = np.empty((0, 3), dtype=np.int64)
    pairs = np.unique(np.concatenate([none, *found]), axis=0)
    return pairs[:, :2], pairs[:, 2]


def _near(hashes: Hashes, left: IntArray, right: IntArray) -> IntArray:
    """Return the candidates that are pairs, with their distances."""
    differing = _SET_BITS[(hashes[left] ^ hashes[right]).view(np.uint16).reshape(-1, 4)].sum(axis=1, dtype=np.int64)
    rows = np.flatnonzero(differing <= MAX_BITS)
    ends = np.stack([np.minimum(left[rows], right[rows]), np.maximum(left[rows], right[rows])], axis=1)
    return np.concatenate([ends, differing[rows, None]], axis=1)


def _candidates(hashes: Hashes, first_bit: int, num_bits: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield rows of hashes whose bands differ in at most `_MAX_TURNED` bits, some at a time."""
    bands = ((hashes >> np.uint64(first_bit)) & np.uint64((1 << num_bits) - 1)).astype(np.int64)
    order = np.argsort(bands, kind="stable")
    starts = np.searchsorted(bands[order], np.arange((1 << num_bits) + 1)).astype(np.int64)
    values = np.unique(bands)
    for count in range(_MAX_TURNED + 1):
        for turned in combinations(range(num_bits), count):
            others = values ^ sum(1 << bit for bit in turned)
            there = (values <= others) & (starts[others + 1] > starts[others])
            yield from _products(order, starts, values[there], others[there])


def _products(
    order: IntArray, starts: IntArray, left: IntArray, right: IntArray
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield each row of the bands `left` with each of the bands `right` beside it; of one band no pair twice."""
    widths = starts[right + 1] - starts[right]
    ends = np.cumsum((starts[left + 1] - starts[left]) * widths)
    total = int(ends[-1]) if len(ends) else 0
    for first in range(0, total, _CHUNK_PAIRS):
        numbers = np.arange(first, min(first + _CHUNK_PAIRS, total))
        at = np.searchsorted(ends, numbers, side="right")
        within = numbers - (ends[at] - (starts[left[at] + 1] - starts[left[at]]) * widths[at])
        one = starts[left[at]] + within // widths[at]
        other = starts[right[at]] + within % widths[at]
        is_new = one < other
        yield order[one[is_new]], order[other[is_new]]


def link(num_items: int, pairs: IntArray, groups: IntArray | None = None) -> IntArray:
    """Return the group of each item: that of the first item which it is linked to, over any number of others.

    Args:
        num_items: how many there are.
        pairs: rows of shape (pairs, 2) of items that belong together.
        groups: of shape (n,), numbers from 0 of groups that items are in already, which stay whole.
    """
    parents = list(range(num_items))

    def root(item: int) -> int:
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    links = pairs.tolist()
    if groups is not None:
        _, firsts, numbers = np.unique(groups, return_index=True, return_inverse=True)
        links += np.stack([firsts[numbers], np.arange(num_items)], axis=1).tolist()
    for one, other in links:
        low, high = sorted((root(one), root(other)))
        parents[high] = low
    return np.array([root(item) for item in range(num_items)], dtype=np.int64)
