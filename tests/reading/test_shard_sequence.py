"""Shards of a bucket: fetched ahead, few held, and read as those on a disk are."""

import io
import threading
import time
import uuid
import weakref
from itertools import islice
from pathlib import Path

import pytest

from packer.dataset.manifest import Manifest
from packer.errors import DataSetError
from packer.reading.dataset import DataSet, open_dataset
from packer.reading.records import ReadSpec, iter_samples
from packer.reading.shard_sequence import iter_shards
from packer.stores.fsspec_store import RemoteStore
from packer.stores.local_store import LocalStore
from tests.reading.make_dataset import deal, make_dataset, make_samples


class _Content(io.BytesIO):
    """A stream whose end can be seen."""


class WatchedStore(LocalStore):
    """Gives contents that live in memory and says which are alive and when they were asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[str] = []
        self.alive: weakref.WeakValueDictionary[str, _Content] = weakref.WeakValueDictionary()
        self.most_alive = 0

    def open(self, key: str) -> io.BytesIO:
        self.asked.append(key)
        content = _Content(self.get(key))
        self.alive[key] = content
        self.most_alive = max(self.most_alive, sum(not stream.closed for stream in self.alive.values()))
        return content


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_dataset(tmp_path, {"train": deal(make_samples(24), 6)})
    return tmp_path


@pytest.fixture
def manifest(root: Path) -> Manifest:
    return open_dataset(str(root)).manifest


def shards(root: Path, manifest: Manifest, store: LocalStore) -> list:
    dataset = DataSet(str(root), manifest, store)
    return [dataset.shard_file(shard) for shard in manifest.split("train").shards]


def test_the_next_shard_is_fetched_while_one_is_read(root: Path, manifest: Manifest) -> None:
    store = WatchedStore(root)
    records = iter_shards(shards(root, manifest, store))
    next(records)
    deadline = time.monotonic() + 60
    while len(store.asked) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(store.asked) == 2
    time.sleep(0.05)
    assert len(store.asked) == 2
    records.close()


def test_two_shards_are_held_at_most_though_records_are_kept(root: Path, manifest: Manifest) -> None:
    store = WatchedStore(root)
    kept = []
    for record in iter_shards(shards(root, manifest, store)):
        kept.append(record)
    assert len(kept) == 24
    assert store.most_alive <= 2


def test_a_shard_that_cannot_be_read_is_told_after_those_before_it(root: Path, manifest: Manifest) -> None:
    (root / manifest.split("train").shards[2].key).unlink()
    records = iter_shards(shards(root, manifest, WatchedStore(root)))
    assert len(list(islice(records, 8))) == 8
    with pytest.raises(DataSetError, match=r"00002-of-00006\.tfrecord: expected a shard of"):
        next(records)
    assert list(iter_shards([])) == []


def test_who_stops_early_leaves_no_thread(root: Path, manifest: Manifest) -> None:
    records = iter_shards(shards(root, manifest, WatchedStore(root)))
    next(records)
    records.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("shard-ahead")]


@pytest.mark.parametrize("shuffle_records", [0, 5])
def test_samples_come_as_from_a_disk(root: Path, shuffle_records: int) -> None:
    remote = RemoteStore(f"memory://{uuid.uuid4().hex}/set")
    for info in LocalStore(root).list():
        remote.put(info.key, [LocalStore(root).get(info.key)])
    spec = ReadSpec(rank=1, world=2, seed=3, shuffle_records=shuffle_records)
    found, expected = (list(iter_samples(open_dataset(uri), "train", spec, epoch=1)) for uri in (remote.uri, str(root)))
    assert [(s.key, bytes(s.encoded), s.label) for s in found] == [(s.key, bytes(s.encoded), s.label) for s in expected]
    assert len(found) == 12
