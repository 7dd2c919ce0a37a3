"""Pairs of hashes that differ in few bits, against comparing all with all; and what is linked by them."""

import numpy as np
import pytest

from packer.planning import near_pairs as module
from packer.planning.near_pairs import MAX_BITS, Hashes, link, near_pairs


def some_hashes(seed: int) -> Hashes:
    """Return random hashes, and more that differ from the first in 0 to 12 bits."""
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 1 << 64, 300, dtype=np.uint64)
    others = []
    for number, value in enumerate(hashes[:150].tolist()):
        for bit in generator.choice(64, number % 13, replace=False).tolist():
            value ^= 1 << bit
        others.append(value)
    return np.unique(np.concatenate([hashes, np.array(others, dtype=np.uint64)]))


def all_pairs(hashes: Hashes) -> list[tuple[int, int, int]]:
    values = hashes.tolist()
    return [
        (one, other, bits)
        for one in range(len(values))
        for other in range(one + 1, len(values))
        if (bits := (values[one] ^ values[other]).bit_count()) <= MAX_BITS
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_all_pairs_are_found_and_no_other(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_PAIRS", 50)
    hashes = some_hashes(seed)
    pairs, bits = near_pairs(hashes)
    expected = all_pairs(hashes)
    assert len(expected) > 80
    assert [(*pair, distance) for pair, distance in zip(pairs.tolist(), bits.tolist(), strict=True)] == expected


def test_bits_that_are_turned_where_bands_meet() -> None:
    """Three in each of two bands, two in the third: found by that one alone."""
    for turned in (0b111 | 0b111 << 22 | 0b11 << 43, 0b111 << 19 | 0b11 << 40 | 0b111 << 61):
        value = 0x0123_4567_89AB_CDEF
        pairs, bits = near_pairs(np.unique(np.array([value, value ^ turned], dtype=np.uint64)))
        assert (pairs.tolist(), bits.tolist()) == ([[0, 1]], [8])


def test_no_pairs_of_none_or_one() -> None:
    for hashes in ([], [5]):
        pairs, bits = near_pairs(np.array(hashes, dtype=np.uint64))
        assert (pairs.shape, bits.shape) == ((0, 2), (0,))


def test_links_reach_over_others_and_hold_groups_together() -> None:
    pairs = np.array([[3, 1], [4, 3], [6, 5]])
    assert link(8, pairs).tolist() == [0, 1, 2, 1, 1, 5, 5, 7]
    assert link(8, pairs, np.array([9, 9, 8, 7, 6, 5, 4, 8])).tolist() == [0, 0, 2, 0, 0, 5, 5, 2]
