"""Closed forms of where items go give what is dealt out over all items."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from packer.planning.placement import contiguous, interleaved
from packer.planning.splits import interleave

COUNTS = st.lists(st.integers(0, 60), min_size=1, max_size=5).filter(any)


@given(COUNTS, st.randoms(use_true_random=False))
def test_interleaved_places(counts: list[int], random) -> None:
    owners = interleave(counts)
    ranks = np.empty(len(owners), dtype=np.int64)
    for split in range(len(counts)):
        ranks[owners == split] = np.arange(counts[split])
    some = np.array(random.sample(range(len(owners)), random.randint(1, len(owners))))
    found_owners, found_ranks = interleaved(some, counts)
    assert found_owners.tolist() == owners[some].tolist()
    assert found_ranks.tolist() == ranks[some].tolist()


def test_interleaved_places_of_many_items() -> None:
    """The places of a few among two thousand million: each split has its share of any run, within one item."""
    counts = [1_900_000_000, 70_000_001, 29_999_999]
    places = np.arange(1_234_567_890, 1_234_567_890 + 20_000)
    owners, ranks = interleaved(places, counts)
    for split, count in enumerate(counts):
        own = ranks[owners == split]
        assert own.tolist() == list(range(own[0], own[0] + len(own)))
        assert abs(len(own) - 20_000 * count / sum(counts)) <= 2


@given(COUNTS)
def test_contiguous_places(counts: list[int]) -> None:
    assert contiguous(np.arange(sum(counts)), counts).tolist() == np.repeat(np.arange(len(counts)), counts).tolist()
