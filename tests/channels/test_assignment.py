"""Rules that stand in for SageMaker's: shares are a partition, equal in count, and differ between rules and epochs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.channels.assignment import AssignmentRule, assign_keys, keys_of_instance, rule_of_seed
from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan

KEYS = tuple("abcdef")


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, (("a", "c", "e"), ("b", "d", "f"))),
        (1, (("a", "b", "c"), ("d", "e", "f"))),
        (2, (("f", "d", "b"), ("e", "c", "a"))),
        (4, (("a", "c", "e"), ("b", "d", "f"))),
    ],
)
def test_the_rules_deal_as_drawn(seed: int, expected: tuple[tuple[str, ...], ...]) -> None:
    assert assign_keys(KEYS, instances=2, seed=seed) == expected


def test_every_fourth_seed_is_another_random_deal() -> None:
    assert rule_of_seed(3) is rule_of_seed(7) is AssignmentRule.HASHED
    assert len({assign_keys(KEYS, instances=2, seed=seed) for seed in range(3, 63, 4)}) > 10


@given(st.integers(0, 60), st.integers(1, 9), st.integers(0, 40), st.integers(0, 5), st.none() | st.integers(-5, 5))
def test_shares_are_a_partition_of_counts_that_differ_by_one_at_most(
    count: int, instances: int, seed: int, epoch: int, shuffle_seed: int | None
) -> None:
    keys = [f"train/{index:05d}" for index in range(count)]
    shares = assign_keys(keys, instances=instances, seed=seed, epoch=epoch, shuffle_seed=shuffle_seed)
    assert len(shares) == instances
    assert sorted(key for share in shares for key in share) == keys
    counts = {len(share) for share in shares}
    assert counts <= {count // instances, -(-count // instances)}


@pytest.mark.parametrize("seed", range(4))
def test_shuffling_moves_keys_to_other_instances_between_epochs(seed: int) -> None:
    keys = [f"train/{index:05d}" for index in range(24)]

    def contents(shuffle_seed: int | None) -> set[frozenset[str]]:
        epochs = (assign_keys(keys, instances=2, seed=seed, epoch=e, shuffle_seed=shuffle_seed) for e in range(8))
        return {frozenset(shares[0]) for shares in epochs}

    assert len(contents(shuffle_seed=5)) == 8
    assert len(contents(shuffle_seed=None)) == 1


def test_a_replicated_channel_is_whole_on_every_instance() -> None:
    def plan(*, sharded: bool) -> ChannelPlan:
        return ChannelPlan(name="train", split="train", mode=InputMode.FAST_FILE, sharded=sharded, keys=KEYS)

    def shares(*, sharded: bool) -> list[tuple[str, ...]]:
        own = plan(sharded=sharded)
        return [keys_of_instance(own, instance, instances=2, seed=0, epoch=0) for instance in (0, 1)]

    assert shares(sharded=False) == [KEYS, KEYS]
    assert shares(sharded=True) == [("a", "c", "e"), ("b", "d", "f")]
