from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import OptionsError
from packer.planning.shard_count import (
    SizeEstimate,
    check_fit,
    choose_num_shards,
    deal,
    estimate_size,
    num_probes,
)
from packer.specs import ShardSpec


def sharding(world: int = 4, target_mb: int = 100, *, allow_fill: bool = False) -> ShardSpec:
    return ShardSpec(world=world, target_bytes=target_mb * 10**6, allow_fill=allow_fill, stratify=False)


def steady(mean_bytes: int) -> SizeEstimate:
    return SizeEstimate(mean_bytes=mean_bytes, spread_bytes=0, num_probed=512)


@pytest.mark.parametrize(
    ("num_items", "expected"),
    [(1, 1), (31, 31), (32, 32), (1000, 32), (1650, 33), (10**4, 200), (25_600, 512), (10**8, 512)],
)
def test_number_of_probes(num_items: int, expected: int) -> None:
    assert num_probes(num_items) == expected


def test_estimate_is_the_integer_mean_and_deviation() -> None:
    assert estimate_size([10, 11, 13]) == SizeEstimate(mean_bytes=11, spread_bytes=1, num_probed=3)
    with pytest.raises(ValueError, match="at least one"):
        estimate_size([])


@pytest.mark.parametrize(
    ("num_items", "mean_bytes", "world", "target_mb", "expected"),
    [
        (1000, 30_000, 2, 100, 2),  # 30 MB: one shard a rank
        (10_000, 30_000, 2, 100, 4),  # 300 MB over shards of at most 100 MB
        (20_000, 30_000, 2, 100, 6),
        (20_000, 30_000, 6, 100, 6),  # exactly 100 MB each
        (20_001, 30_000, 6, 100, 12),  # one record more
        (1_281_167, 30_000, 64, 100, 448),
        (10_000, 100_000, 1, 128, 8),
        (3, 200_000_000, 1, 100, 6),  # more shards than items: refused by check_fit
    ],
)
def test_number_of_shards(num_items: int, mean_bytes: int, world: int, target_mb: int, expected: int) -> None:
    assert choose_num_shards(num_items, steady(mean_bytes), sharding(world, target_mb)) == expected


def test_sizes_that_spread_lower_the_target_near_the_limit() -> None:
    spread = SizeEstimate(mean_bytes=100_000, spread_bytes=50_000, num_probed=512)
    num_shards = choose_num_shards(10_240, spread, sharding(1, 128))
    assert num_shards > choose_num_shards(10_240, steady(100_000), sharding(1, 128)) == 8
    assert spread.largest_shard_bytes(-(-10_240 // num_shards)) <= 128_000_000


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.integers(1, 512), st.integers(1, 128))
def test_shards_are_a_multiple_of_the_world_and_near_the_target(n: int, mean: int, world: int, target: int) -> None:
    num_shards = choose_num_shards(n, steady(mean), sharding(world, target))
    assert num_shards % world == 0
    assert n * mean <= num_shards * target * 10**6 or num_shards >= n
    if num_shards > world and n > num_shards:
        assert n * mean > (num_shards - world) * target * 10**6 or -(-n // (num_shards - world)) * mean > 128_000_000


@pytest.mark.parametrize(
    ("num_items", "num_shards", "is_training", "expected"),
    [(100, 4, True, 0), (101, 4, True, 3), (101, 4, False, 0), (4, 4, True, 0)],
)
def test_planned_fills(num_items: int, num_shards: int, is_training: bool, expected: int) -> None:
    found = check_fit("train", num_items, num_shards, is_training=is_training, spec=sharding(allow_fill=True))
    assert found == expected


def test_too_many_fills_name_the_numbers_that_fit() -> None:
    with pytest.raises(OptionsError) as caught:
        check_fit("train", 101, 4, is_training=True, spec=sharding())
    text = str(caught.value)
    assert "repeat 3 samples (3.0 %, expected at most 2 %)" in text
    assert "100 or 104 items fit 4 shards" in text
    assert "these items fit 3 shards" in text
    assert "`allow_fill=True`" in text


def test_exactly_two_percent_is_accepted() -> None:
    assert check_fit("train", 150, 9, is_training=True, spec=sharding()) == 3
    with pytest.raises(OptionsError, match=r"2\.7 %"):
        check_fit("train", 149, 9, is_training=True, spec=sharding())


def test_fewer_items_than_shards() -> None:
    with pytest.raises(OptionsError, match=r"split 'val' has 3 items for 4 shards .* 4 GPUs"):
        check_fit("val", 3, 4, is_training=False, spec=sharding())


@given(st.integers(1, 400), st.integers(1, 40))
def test_dealt_shards_differ_by_at_most_one_item(num_items: int, num_shards: int) -> None:
    counts = np.bincount(deal(num_items, num_shards), minlength=num_shards)
    assert counts.max() - counts.min() <= 1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.integers(1, 20))
def test_stratified_shards_hold_each_class_within_one(classes: list[int], num_shards: int) -> None:
    shard_of_item = deal(len(classes), num_shards, classes=np.array(classes))
    totals = np.bincount(shard_of_item, minlength=num_shards)
    assert totals.max() - totals.min() <= 1
    for label in set(classes):
        found = Counter(s for c, s in zip(classes, shard_of_item.tolist(), strict=True) if c == label)
        counts = [found[shard] for shard in range(num_shards)]
        assert max(counts) - min(counts) <= 1
