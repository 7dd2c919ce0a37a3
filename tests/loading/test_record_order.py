import hashlib
import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packer.errors import OptionsError
from packer.loading.record_order import (
    RecordRef,
    TrainingLayout,
    TrainingOrder,
    evaluation_run,
    step_positions,
    stored_records,
)


def digest(*numbers):
    return hashlib.sha256("\0".join(map(str, numbers)).encode()).hexdigest()


def told_order(layout, epoch):
    """The whole epoch as the rules say it, position by position, with nothing clever."""
    lanes = []
    for lane in range(layout.num_lanes):
        own = sorted(
            range(lane, layout.num_shards, layout.num_lanes), key=lambda shard: digest(layout.seed, epoch, shard)
        )
        records, block = [], 0
        num_blocks = math.ceil(layout.records_per_shard / layout.shuffle_records)
        for shard in own:
            for piece in range(num_blocks):
                first = layout.records_per_shard * piece // num_blocks
                stop = layout.records_per_shard * (piece + 1) // num_blocks
                numbers = range(stop - first)
                hashed = sorted(numbers, key=lambda i, block=block: digest(layout.seed, epoch, lane, block, i))
                records += [(shard, first + number) for number in hashed]
                block += 1
        lanes.append(records)
    return [lanes[position % len(lanes)][position // len(lanes)] for position in range(layout.num_records)]


@st.composite
def layouts(draw):
    lanes = draw(st.integers(1, 6))
    return TrainingLayout(
        num_shards=lanes * draw(st.integers(1, 4)),
        records_per_shard=draw(st.integers(1, 23)),
        num_lanes=lanes,
        seed=draw(st.integers(0, 2**40)),
        shuffle_records=draw(st.integers(2, 30)),
    )


@settings(max_examples=25)
@given(layouts(), st.integers(0, 1000))
def test_the_order_is_the_one_that_is_told(layout, epoch):
    found = TrainingOrder(layout).records_at(epoch, range(layout.num_records))
    assert found == told_order(layout, epoch)
    assert len(set(found)) == layout.num_records


@settings(max_examples=25)
@given(layouts(), st.integers(0, 9), st.integers(1, 12), st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_every_world_has_the_same_samples_in_each_step(layout, epoch, batch, worlds):
    order = TrainingOrder(layout)
    everything = order.records_at(epoch, range(layout.num_records))
    for world in (world for world in worlds if batch % world == 0):
        for first in range(0, layout.num_records // batch * batch, batch):
            ranks = [step_positions(first, batch=batch, rank=rank, world=world) for rank in range(world)]
            assert {len(positions) for positions in ranks} == {batch // world}
            assert all(position % world == rank for rank, positions in enumerate(ranks) for position in positions)
            seen = [ref for positions in ranks for ref in order.records_at(epoch, positions)]
            assert sorted(seen) == sorted(everything[first : first + batch])


@given(st.integers(0, 500), st.integers(1, 9), st.integers(1, 20))
def test_a_step_may_begin_anywhere(first, world, per_rank):
    batch = world * per_rank
    ranks = [step_positions(first, batch=batch, rank=rank, world=world) for rank in range(world)]
    assert sorted(position for positions in ranks for position in positions) == list(range(first, first + batch))
    assert {len(positions) for positions in ranks} == {per_rank}


@given(layouts(), st.integers(1, 6), st.integers(0, 5))
def test_a_rank_reads_only_its_lanes(layout, world, rank):
    rank %= world
    batch = world * 4
    steps = range(0, layout.num_records // batch * batch, batch)
    positions = [p for first in steps for p in step_positions(first, batch=batch, rank=rank, world=world)]
    lanes = {ref.shard % layout.num_lanes for ref in TrainingOrder(layout).records_at(0, positions)}
    assert len(lanes) <= layout.num_lanes // math.gcd(layout.num_lanes, world)


@settings(max_examples=15)
@given(layouts(), st.integers(0, 3), st.integers(0, 60))
def test_the_shards_that_come_are_known_without_the_records(layout, epoch, start):
    order = TrainingOrder(layout)
    positions = range(start, start + 3 * layout.num_records)
    expected = []
    for position in positions:
        later, inside = divmod(position, layout.num_records)
        expected.append(order.records_at(epoch + later, [inside])[0].shard)
    assert list(order.shards_at(epoch, positions)) == expected


@pytest.mark.parametrize("shuffle_records", [0, 1])
def test_shards_keep_their_own_order_where_nothing_is_shuffled(shuffle_records):
    layout = TrainingLayout(num_shards=4, records_per_shard=5, num_lanes=2, seed=3, shuffle_records=shuffle_records)
    found = TrainingOrder(layout).records_at(0, range(0, 20, 2))
    assert [ref.record for ref in found] == [0, 1, 2, 3, 4] * 2


GOLDEN = {
    (0, 0): "e7a3d49074498871874d197f064c03145401a5e5dc5c94c2bc4d6aab8fca71d5",
    (7, 3): "dbe721c15702017783ebe6602fe8544c936831d7e404c077dc3edcbe58f4c6f1",
}
"""sha256 over the positions [14000, 16000) of an epoch of 6 lanes, 12 shards and 2,500 records each, as told above."""


@pytest.mark.parametrize(("seed", "epoch"), list(GOLDEN))
def test_order_version_1_never_changes(seed, epoch):
    layout = TrainingLayout(num_shards=12, records_per_shard=2500, num_lanes=6, seed=seed)
    refs = TrainingOrder(layout).records_at(epoch, range(14_000, 16_000))
    text = "\n".join(f"{ref.shard} {ref.record}" for ref in refs)
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN[seed, epoch]


def test_threads_may_ask_at_once():
    layout = TrainingLayout(num_shards=6, records_per_shard=200, num_lanes=3, seed=1, shuffle_records=16)
    order, expected = TrainingOrder(layout), told_order(layout, 0)
    found = {}

    def ask(first):
        for position in range(first, layout.num_records, 8):
            found[position] = order.records_at(0, [position])[0]

    threads = [threading.Thread(target=ask, args=[first]) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[position] for position in range(layout.num_records)] == expected


def test_lanes_must_divide_the_shards():
    with pytest.raises(OptionsError, match="expected lanes that divide 10 shards, got 4"):
        TrainingLayout(num_shards=10, records_per_shard=1, num_lanes=4, seed=0)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 9))
def test_an_evaluation_sees_every_record_once_in_stored_order(counts, world):
    runs = [evaluation_run(sum(counts), rank=rank, world=world) for rank in range(world)]
    found = [ref for run in runs for ref in stored_records(counts, run)]
    assert found == [RecordRef(shard, record) for shard, count in enumerate(counts) for record in range(count)]
    assert max(map(len, runs)) == math.ceil(sum(counts) / world)
