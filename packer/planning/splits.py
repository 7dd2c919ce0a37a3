"""Which item goes to which split: exact shares, in integers.

Items come in hash order. Without groups a split gets exactly its share of the items, by largest remainder. With groups
whole groups go, in the order of their first item, to the split whose share their first item would fall into; so a
split's count is within the largest group of exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from packer.specs import SplitSpec

IntArray = npt.NDArray[np.int64]


def split_counts(num_items: int, splits: Sequence[SplitSpec]) -> list[int]:
    """Return each split's number of items: shares rounded by largest remainder, earlier splits first on ties."""
    floors = [num_items * s.numerator // s.denominator for s in splits]
    # Remainders as integers over one common denominator would overflow nothing here: Python's integers are exact.
    common = 1
    for spec in splits:
        common *= spec.denominator
    remainders = [
        num_items * s.numerator * (common // s.denominator) - floor * common
        for s, floor in zip(splits, floors, strict=True)
    ]
    missing = num_items - sum(floors)
    by_remainder = sorted(range(len(splits)), key=lambda index: (-remainders[index], index))
    for index in by_remainder[:missing]:
        floors[index] += 1
    return floors


def assign_splits(
    num_items: int, splits: Sequence[SplitSpec], *, groups: IntArray | None = None, classes: IntArray | None = None
) -> IntArray:
    """Return the index of each item's split; items are in hash order.

    Args:
        num_items: how many there are.
        splits: shares that sum to 1.
        groups: group number per item; items of one group share a split. Takes precedence over `classes`.
        classes: class number per item; each class is spread over the splits by their shares, within one item.
    """
    counts = split_counts(num_items, splits)
    if groups is not None:
        return _whole_groups(counts, groups)
    if classes is None:
        return np.repeat(np.arange(len(splits), dtype=np.int64), counts)
    result = np.empty(num_items, dtype=np.int64)
    result[np.argsort(classes, kind="stable")] = interleave(counts)
    return result


def _whole_groups(counts: Sequence[int], groups: IntArray) -> IntArray:
    _, first_seen, inverse, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    by_first = np.argsort(first_seen, kind="stable")
    starts = np.cumsum(sizes[by_first]) - sizes[by_first]
    bounds = np.cumsum(counts)
    split_of_group = np.empty(len(sizes), dtype=np.int64)
    split_of_group[by_first] = np.searchsorted(bounds, starts, side="right")
    return split_of_group[inverse.reshape(-1)]


def interleave(counts: Sequence[int]) -> IntArray:
    """Return a sequence that holds split i counts[i] times, evenly spread, so any run has each within one of its share.

    Each split's j-th item gets the ideal place (2j + 1) / (2 count); places are compared as integers after scaling.
    """
    total = sum(counts)
    places = [(2 * np.arange(count, dtype=np.int64) + 1) * total // max(1, count) for count in counts]
    owners = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return owners[np.argsort(np.concatenate(places), kind="stable")]
