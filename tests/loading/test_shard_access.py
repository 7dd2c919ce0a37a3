import os
import threading

import pytest

from packer.errors import DataSetError
from packer.loading.shard_access import LocalShards, RangedShards, ReadBuffer
from packer.reading.dataset import open_dataset
from tests.reading.make_dataset import deal, make_dataset, make_samples


@pytest.fixture
def files(tmp_path):
    make_dataset(tmp_path, {"train": deal(make_samples(24), 6)})
    dataset = open_dataset(str(tmp_path))
    return [dataset.shard_file(shard) for shard in dataset.manifest.split("train").shards]


def contents(files):
    return [open(file.name, "rb").read() for file in files]


@pytest.mark.parametrize("create", [LocalShards, RangedShards])
class TestEveryAccess:
    def test_any_range_of_any_shard(self, files, create):
        access, buffer, expected = create(files), ReadBuffer(), contents(files)
        for shard in (3, 0, 5, 3):
            for start, stop in ((0, 10), (5, 5), (100, len(expected[shard]))):
                assert access.read(shard, start, stop, buffer) == expected[shard][start:stop]
        access.close()

    def test_a_missing_shard_is_named(self, files, create):
        os.unlink(files[1].name)
        with pytest.raises(DataSetError, match=rf"{files[1].name}: expected a shard of .* bytes, found no file"):
            create(files).read(1, 0, 4, ReadBuffer())

    def test_a_shard_that_ends_early_is_named(self, files, create):
        access = create(files)
        access.read(2, 0, 4, ReadBuffer())
        num_bytes = files[2].entry.num_bytes
        os.truncate(files[2].name, num_bytes - 7)
        with pytest.raises(DataSetError, match=rf"{files[2].name}: expected 100 bytes at byte .*, found 93"):
            access.read(2, num_bytes - 100, num_bytes, ReadBuffer())


def test_a_file_of_another_size_is_refused_at_once(files):
    os.truncate(files[2].name, 50)
    with pytest.raises(DataSetError, match="bytes, found 50"):
        LocalShards(files).read(2, 0, 4, ReadBuffer())


def test_few_files_are_open_at_a_time_whoever_reads(files):
    access, expected, wrong = LocalShards(files, max_open_files=2), contents(files), []
    before = len(os.listdir("/proc/self/fd"))

    def read(first):
        buffer = ReadBuffer()
        for index in range(300):
            shard = (first + index) % len(files)
            if access.read(shard, index, index + 40, buffer) != expected[shard][index : index + 40]:
                wrong.append(shard)

    threads = [threading.Thread(target=read, args=[first]) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    access.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_whole_shards_are_read_once_however_many_ask(files, monkeypatch):
    from packer.loading import whole_shards

    opened, expected, wrong = [], contents(files), []
    plain = whole_shards.open_shard
    monkeypatch.setattr(whole_shards, "open_shard", lambda file: opened.append(file.key) or plain(file))
    access = whole_shards.WholeShards(files, max_shards=2)

    def read(shards):
        for shard in shards:
            if access.read(shard, 7, 60, ReadBuffer()) != expected[shard][7:60]:
                wrong.append(shard)

    threads = [threading.Thread(target=read, args=[[0, 1, 1, 0]]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sorted(opened) == [files[0].key, files[1].key]
    read([2])
    assert not wrong
    assert len(opened) == 3
