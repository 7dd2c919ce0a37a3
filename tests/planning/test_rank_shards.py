"""Every record is read once, and no rank ever waits for another."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import OptionsError
from packer.planning.rank_shards import epoch_order, evaluation_steps, shards_of_rank, training_steps

worlds = st.integers(1, 12)
shards_per_rank = st.integers(1, 6)


@pytest.mark.parametrize(
    ("num_shards", "rank", "world", "expected"),
    [
        (8, 0, 4, [0, 4]),
        (8, 3, 4, [3, 7]),
        (4, 3, 4, [3]),
        (3, 0, 1, [0, 1, 2]),
        (0, 1, 2, []),
    ],
)
def test_shards_of_rank(num_shards, rank, world, expected):
    assert list(shards_of_rank(num_shards, rank=rank, world=world)) == expected


@pytest.mark.parametrize(("rank", "world"), [(-1, 2), (2, 2), (0, 0)])
def test_shards_of_rank_refuses_a_rank_outside_the_world(rank, world):
    with pytest.raises(OptionsError, match=f"expected 0 to {world - 1}, got {rank}"):
        shards_of_rank(4, rank=rank, world=world)


def test_shards_of_rank_refuses_unequal_shares_and_says_what_to_do():
    with pytest.raises(OptionsError, match=r"5 shards do not divide by 2 ranks.*reshard DEST NEW `gpus=2`"):
        shards_of_rank(5, rank=0, world=2)


@given(world=worlds, per_rank=shards_per_rank)
def test_every_shard_belongs_to_exactly_one_rank_and_all_ranks_have_equally_many(world, per_rank):
    shares = [shards_of_rank(world * per_rank, rank=rank, world=world) for rank in range(world)]
    assert sorted(itertools.chain(*shares)) == list(range(world * per_rank))
    assert {len(share) for share in shares} == {per_rank}


@given(indices=st.lists(st.integers(0, 1000), unique=True), seed=st.integers(), epoch=st.integers(0, 10**6))
def test_epoch_order_is_a_permutation_that_does_not_depend_on_the_order_given(indices, seed, epoch):
    order = epoch_order(indices, seed=seed, epoch=epoch)
    assert sorted(order) == sorted(indices)
    assert order == epoch_order(indices[::-1], seed=seed, epoch=epoch)


def test_epoch_order_differs_between_epochs_and_seeds():
    orders = {tuple(epoch_order(range(20), seed=seed, epoch=epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


@pytest.mark.parametrize(("records", "batch_size", "steps"), [(10, 10, 1), (19, 10, 1), (20, 10, 2), (7, 1, 7)])
def test_training_steps(records, batch_size, steps):
    assert training_steps(records, batch_size=batch_size) == steps


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_training_steps_refuses_a_batch_that_a_rank_cannot_fill(batch_size):
    with pytest.raises(OptionsError, match=f"expected 1 to 10 .* got {batch_size}"):
        training_steps(10, batch_size=batch_size)


@pytest.mark.parametrize(
    ("counts", "world", "batch_size", "steps"),
    [
        ([5, 5, 5, 5], 2, 5, 2),
        ([6, 5, 5, 5], 2, 5, 3),  # a rank with shards of 6 and 5 needs a third batch, so all run it
        ([6, 6, 1, 1], 2, 12, 1),
        ([3], 1, 2, 2),
        ([0, 0], 2, 4, 0),
        ([1, 0], 2, 4, 1),
    ],
)
def test_evaluation_steps(counts, world, batch_size, steps):
    assert evaluation_steps(counts, world=world, batch_size=batch_size) == steps


@given(data=st.data(), world=worlds, per_rank=shards_per_rank, batch_size=st.integers(1, 40))
def test_evaluation_steps_have_room_for_any_equal_share_and_no_batch_too_many(data, world, per_rank, batch_size):
    num_shards = world * per_rank
    counts = data.draw(st.lists(st.integers(0, 100), min_size=num_shards, max_size=num_shards))
    steps = evaluation_steps(counts, world=world, batch_size=batch_size)
    order = data.draw(st.permutations(range(num_shards)))
    for rank in range(world):
        own = sum(counts[index] for index in order[rank * per_rank : (rank + 1) * per_rank])
        assert steps * batch_size - own >= 0  # padding
    fullest = sum(sorted(counts)[num_shards - per_rank :])
    assert steps == math.ceil(fullest / batch_size)
