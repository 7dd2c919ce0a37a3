import collections
import dataclasses
import itertools
import os
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import CorruptRecordError, DataSetError, OptionsError
from packer.formats.registry import get_format
from packer.reading.dataset import open_dataset
from packer.reading.records import ReadSpec, iter_samples, shuffled
from packer.reading.shard_file import iter_shard
from packer.specs import FormatName
from tests.reading.make_dataset import deal, make_dataset, make_samples

NUM_TRAIN, NUM_VAL = 24, 11


@pytest.fixture(params=[FormatName.TFRECORD, FormatName.RECORDIO])
def dataset(tmp_path, request):
    splits = {"train": deal(make_samples(NUM_TRAIN), 4), "val": deal(make_samples(NUM_VAL), 4)}
    make_dataset(tmp_path, splits, container=request.param, world=2)
    return open_dataset(str(tmp_path))


def labels(dataset, split, *, epoch=0, **spec):
    return [sample.label for sample in iter_samples(dataset, split, ReadSpec(**spec), epoch=epoch)]


def test_records_of_a_shard_follow_one_another(dataset):
    shard = dataset.manifest.split("train").shards[2]
    records = list(iter_shard(dataset.shard_file(shard)))
    assert [record.index for record in records] == list(range(6))
    assert records[0].offset_bytes == 0
    assert [r.offset_bytes + r.num_bytes for r in records] == [*(r.offset_bytes for r in records[1:]), shard.num_bytes]


def test_samples_are_those_that_were_written(dataset):
    written = {sample.label: sample.encoded for sample in make_samples(NUM_TRAIN)}
    read = {sample.label: sample.encoded for sample in iter_samples(dataset, "train", ReadSpec())}
    assert read == written


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("shuffle_records", [0, 1, 5, 1000])
def test_all_ranks_together_read_each_record_once_an_epoch(dataset, world, shuffle_records):
    for epoch in range(2):
        shares = [
            labels(dataset, "train", epoch=epoch, rank=rank, world=world, shuffle_records=shuffle_records)
            for rank in range(world)
        ]
        assert {len(share) for share in shares} == {NUM_TRAIN // world}
        assert sorted(itertools.chain(*shares)) == list(range(NUM_TRAIN))


def test_training_order_depends_on_seed_and_epoch_alone(dataset):
    assert labels(dataset, "train", seed=3, epoch=1) == labels(dataset, "train", seed=3, epoch=1)
    orders = [tuple(labels(dataset, "train", seed=seed, epoch=epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


def test_without_a_buffer_only_shards_change_places(dataset):
    stored = [tuple(range(first, NUM_TRAIN, 4)) for first in range(4)]
    order = labels(dataset, "train", shuffle_records=0, epoch=5)
    assert sorted(tuple(order[start : start + 6]) for start in range(0, NUM_TRAIN, 6)) == stored


def test_evaluation_is_in_stored_order_in_every_epoch(dataset):
    expected = [0, 4, 8, 2, 6, 10]
    assert labels(dataset, "val", world=2) == expected
    assert labels(dataset, "val", world=2, seed=9, epoch=3) == expected


@given(items=st.lists(st.integers(), max_size=50), buffer_size=st.integers(1, 20), seed=st.text(max_size=5))
def test_shuffled_is_a_permutation_that_the_seed_determines(items, buffer_size, seed):
    order = list(shuffled(items, buffer_size=buffer_size, seed=seed))
    assert collections.Counter(order) == collections.Counter(items)
    assert order == list(shuffled(items, buffer_size=buffer_size, seed=seed))


def test_shuffled_holds_back_no_more_than_its_buffer():
    taken = 0

    def count():
        nonlocal taken
        for item in range(100):
            taken += 1
            yield item

    for position, item in enumerate(shuffled(count(), buffer_size=10, seed="")):
        assert taken - position <= 11
        assert item <= position + 10


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 1), (0, 0)])
def test_a_rank_outside_the_world_is_refused(rank, world):
    with pytest.raises(OptionsError, match=f"rank: expected 0 to {world - 1}, got {rank}"):
        ReadSpec(rank=rank, world=world)


def first_shard(dataset, **changes):
    """Return the first training shard's entry with some fields changed."""
    return msgspec.structs.replace(dataset.manifest.split("train").shards[0], **changes)


def test_a_missing_shard_is_named(dataset, tmp_path):
    shard = first_shard(dataset)
    (tmp_path / shard.key).unlink()
    with pytest.raises(DataSetError, match=rf"{shard.key}: expected a shard of [\d,]+ bytes, found no file"):
        list(iter_shard(dataset.shard_file(shard)))


@pytest.mark.parametrize("cut", [slice(0, -1), slice(0, 0)])
def test_a_shard_of_another_size_is_refused_before_its_first_record(dataset, tmp_path, cut):
    shard = first_shard(dataset)
    content = (tmp_path / shard.key).read_bytes()[cut]
    (tmp_path / shard.key).write_bytes(content)
    with pytest.raises(DataSetError, match=rf"expected {shard.num_bytes:,} bytes, found {len(content):,}"):
        next(iter_shard(dataset.shard_file(shard)))


def test_fewer_records_than_the_manifest_says_are_an_error_at_the_end(dataset):
    shard = first_shard(dataset, num_records=7)
    records = iter_shard(dataset.shard_file(shard))
    assert len([next(records) for _ in range(6)]) == 6
    with pytest.raises(DataSetError, match=rf"{shard.key}: expected 7 records, found 6"):
        next(records)


def test_more_records_than_the_manifest_says_are_not_handed_out(dataset):
    shard = first_shard(dataset, num_records=5)
    records = iter_shard(dataset.shard_file(shard))
    assert len([next(records) for _ in range(5)]) == 5
    with pytest.raises(DataSetError, match=rf"{shard.key}: expected 5 records, found more"):
        next(records)


def test_damaged_framing_is_an_error_with_its_place(dataset, tmp_path):
    shard = first_shard(dataset)
    start = list(iter_shard(dataset.shard_file(shard)))[3].offset_bytes
    content = bytearray((tmp_path / shard.key).read_bytes())
    content[start] ^= 0xFF
    (tmp_path / shard.key).write_bytes(content)
    with pytest.raises(CorruptRecordError) as caught:
        list(iter_shard(dataset.shard_file(shard)))
    assert (caught.value.record_index, caught.value.offset_bytes) == (3, start)
    assert caught.value.name == f"{tmp_path}/{shard.key}"


@pytest.mark.parametrize("shuffle_records", [0, 1000])
def test_a_well_framed_payload_that_is_no_sample_is_an_error_with_its_place(dataset, tmp_path, shuffle_records):
    shard = first_shard(dataset)
    records = list(iter_shard(dataset.shard_file(shard)))
    frame = get_format(dataset.manifest.format).frame
    payloads = [bytes(record.payload) for record in records]
    payloads[4] = b"\xff" * len(payloads[4])
    (tmp_path / shard.key).write_bytes(b"".join(piece for payload in payloads for piece in frame(payload)))
    with pytest.raises(CorruptRecordError) as caught:
        labels(dataset, "train", shuffle_records=shuffle_records)
    assert (caught.value.record_index, caught.value.offset_bytes) == (4, records[4].offset_bytes)
    assert caught.value.name == f"{tmp_path}/{shard.key}"


def test_samples_held_for_shuffling_do_not_keep_what_was_read_with_them(tmp_path):
    samples = [dataclasses.replace(sample, encoded=bytes(20_000)) for sample in make_samples(600)]
    make_dataset(tmp_path, {"train": [samples]})
    dataset = open_dataset(str(tmp_path))
    tracemalloc.start()
    try:
        num_samples = sum(1 for _ in iter_samples(dataset, "train", ReadSpec(shuffle_records=100)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert num_samples == 600
    assert peak < 6_000_000, "100 samples of 20 kB, what is read at once, and a few copies"


def test_a_checksum_is_verified_unless_told_otherwise(tmp_path):
    make_dataset(tmp_path, {"train": [make_samples(3)]})
    dataset = open_dataset(str(tmp_path))
    shard = dataset.manifest.split("train").shards[0]
    last = list(iter_shard(dataset.shard_file(shard)))[2]
    content = bytearray((tmp_path / shard.key).read_bytes())
    content[last.offset_bytes + last.num_bytes // 2] ^= 1
    (tmp_path / shard.key).write_bytes(content)
    with pytest.raises(CorruptRecordError, match="record 2 at byte"):
        list(iter_shard(dataset.shard_file(shard)))
    assert len(list(iter_shard(dataset.shard_file(shard), check=False))) == 3


def test_a_shard_that_cannot_be_read_is_named(dataset, tmp_path):
    shard = first_shard(dataset)
    (tmp_path / shard.key).unlink()
    (tmp_path / shard.key).mkdir()
    with pytest.raises(DataSetError, match=rf"{shard.key}: cannot read the shard: .*Is a directory"):
        next(iter_shard(dataset.shard_file(shard)))


@pytest.mark.parametrize("container", [FormatName.TFRECORD, FormatName.RECORDIO])
def test_a_shard_that_shrinks_while_it_is_read_is_an_error(tmp_path, container):
    samples = [dataclasses.replace(sample, encoded=bytes(300_000)) for sample in make_samples(4)]
    make_dataset(tmp_path, {"train": [samples]}, container=container)
    dataset = open_dataset(str(tmp_path))
    shard = dataset.manifest.split("train").shards[0]
    records = iter_shard(dataset.shard_file(shard))
    next(records)
    os.truncate(tmp_path / shard.key, shard.num_bytes - 1)
    assert len([next(records) for _ in range(2)]) == 2
    with pytest.raises(CorruptRecordError, match=r"record 3 at byte .*: the file is cut short"):
        next(records)
