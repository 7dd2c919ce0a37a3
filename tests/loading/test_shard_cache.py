import hashlib
import itertools
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
import numpy as np
import pytest

from packer import Loader
from packer.errors import DataSetError, OptionsError
from packer.loading import cache_options, shard_cache
from packer.loading.cache_folder import CacheFolder
from packer.loading.cache_options import lanes_of_host, parse_cache
from packer.loading.shard_access import ReadBuffer
from packer.loading.shard_cache import CachedShards
from packer.specs import StoreOptions
from tests.loading import counting_store
from tests.loading.counting_store import far_files, read_log
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.buckets import upload_folder

PROGRAM = Path(counting_store.__file__)
GIB = 1 << 30


@pytest.fixture
def dataset(tmp_path):
    make_dataset(tmp_path / "dataset", {"train": deal(make_samples(24), 6)})
    return tmp_path / "dataset"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def files(dataset, log):
    return far_files(dataset, log)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "cache"


def content(dataset, file):
    return (dataset / file.key).read_bytes()


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def kept(root):
    folder = root / "shards"
    return {path.name: path.stat().st_size for path in folder.iterdir()} if folder.exists() else {}


def test_each_shard_is_fetched_once_and_read_as_a_file_then(dataset, log, files, root):
    access, buffer = CachedShards(files, CacheFolder(root, GIB)), ReadBuffer()
    access.expect(range(6))
    for _ in range(2):
        for shard in (3, 0, 5, 1, 2, 4):
            whole = content(dataset, files[shard])
            assert access.read(shard, 7, 90, buffer) == whole[7:90]
            assert access.read(shard, len(whole) - 9, len(whole), buffer) == whole[-9:]
    access.close()
    assert sorted(read_log(log)) == sorted((file.key, 0, file.entry.num_bytes) for file in files)
    again = CachedShards(files, CacheFolder(root, GIB))
    again.expect([2])
    assert again.read(2, 0, 50, buffer) == content(dataset, files[2])[:50]
    again.close()
    assert len(read_log(log)) == 6


def test_large_shards_come_in_pieces(dataset, log, files, root, monkeypatch):
    monkeypatch.setattr(shard_cache, "_BYTES_PER_REQUEST", 100)
    access = CachedShards(files, CacheFolder(root, GIB))
    access.expect([1])
    whole = content(dataset, files[1])
    assert access.read(1, 0, len(whole), ReadBuffer()) == whole
    access.close()
    assert len(read_log(log)) == -(-len(whole) // 100)


def test_what_is_not_expected_is_read_from_the_store(dataset, log, files, root):
    access = CachedShards(files, CacheFolder(root, GIB))
    assert access.read(4, 3, 60, ReadBuffer()) == content(dataset, files[4])[3:60]
    access.close()
    assert read_log(log) == [(files[4].key, 3, 60)]
    assert not root.exists()


def test_the_bound_is_kept_and_what_has_no_room_is_read_from_the_store(dataset, log, files, root):
    size = max(file.entry.num_bytes for file in files)
    access, buffer = CachedShards(files, CacheFolder(root, 5 * size // 2)), ReadBuffer()
    order, most = [5, 1, 4, 0, 2, 3], 0
    for number, shard in enumerate(order):
        access.expect(order[number:] + order[:number])
        whole = content(dataset, files[shard])
        assert access.read(shard, 0, len(whole), buffer) == whole
        most = max(most, sum(kept(root).values()))
    access.expect(order)
    assert access.read(3, 5, 9, buffer) == content(dataset, files[3])[5:9]  # needed last: it need not be there
    access.close()
    assert size <= most <= 5 * size // 2
    fetched = [key for key, start, stop in read_log(log) if stop - start > 100]
    assert set(fetched) >= {files[shard].key for shard in order[:5]}


@pytest.mark.parametrize(("damage", "found"), [("flip", "sha256 .*, found"), ("cut", "bytes, found")])
def test_a_shard_that_is_another_one_is_an_error_and_is_not_kept(dataset, files, root, damage, found):
    path = dataset / files[2].key
    whole = bytearray(path.read_bytes())
    whole[100] ^= 1
    path.write_bytes(whole if damage == "flip" else whole[:-5])
    access = CachedShards(files, CacheFolder(root, GIB))
    access.expect([2])
    with pytest.raises(DataSetError, match=rf"{files[2].name}: expected .*{found} .*; the file is not the one"):
        access.read(2, 0, 10, ReadBuffer())
    access.close()
    assert kept(root) == {}
    assert os.listdir(root / "parts") == []


def test_a_missing_shard_is_named(dataset, files, root):
    (dataset / files[2].key).unlink()
    access = CachedShards(files, CacheFolder(root, GIB))
    access.expect([2])
    with pytest.raises(DataSetError, match=rf"{files[2].name}: expected a shard of .* bytes, found no file"):
        access.read(2, 0, 10, ReadBuffer())
    access.close()


def test_a_shard_that_others_removed_is_read_all_the_same(dataset, files, root):
    access, buffer = CachedShards(files, CacheFolder(root, GIB)), ReadBuffer()
    access.expect([1, 2])
    access.read(1, 0, 10, buffer)
    wait_until(lambda: len(kept(root)) == 2)
    access.read(2, 0, 10, buffer)
    access.expect([2])
    access.expect([1, 2])
    access._local.forget([1, 2])
    for name in kept(root):
        (root / "shards" / name).unlink()
    assert access.read(1, 0, 10, buffer) == content(dataset, files[1])[:10]
    access.close()


def test_a_folder_that_cannot_be_written_is_no_end(dataset, files, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    access = CachedShards(files, CacheFolder(blocked / "cache", GIB))
    access.expect([0, 1])
    assert access.read(1, 0, 10, ReadBuffer()) == content(dataset, files[1])[:10]
    access.close()


def test_a_fetch_elsewhere_that_does_not_end_is_not_waited_for(dataset, log, files, root, monkeypatch):
    monkeypatch.setattr(shard_cache, "_PATIENCE_S", 0.2)
    entry = files[3].entry
    other = CacheFolder(root, GIB)
    part = other.begin(entry.sha256, entry.num_bytes)
    access = CachedShards(files, CacheFolder(root, GIB))
    access.expect([3])
    assert access.read(3, 0, 10, ReadBuffer()) == content(dataset, files[3])[:10]
    assert read_log(log) == [(files[3].key, 0, 10)]
    other.abandon(part)  # as if it had been killed: its fetch is taken over
    wait_until(lambda: kept(root) == {entry.sha256: entry.num_bytes})
    access.close()


def test_open_files_are_let_go_when_the_order_has_passed_them(files, root):
    access, buffer = CachedShards(files, CacheFolder(root, GIB)), ReadBuffer()
    before = len(os.listdir("/proc/self/fd"))
    access.expect(range(6))
    wait_until(lambda: len(kept(root)) == 6)
    for number in range(6):
        access.expect(range(number, 6))
        access.read(number, 0, 10, buffer)
        wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before + 3)  # of this reader, and two shards
    access.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_many_threads(dataset, files, root):
    access, wrong = CachedShards(files, CacheFolder(root, GIB)), []
    whole = [content(dataset, file) for file in files]
    access.expect(range(6))

    def read(seed):
        buffer, generator = ReadBuffer(), random.Random(seed)
        for _ in range(200):
            shard, start = generator.randrange(6), generator.randrange(300)
            if access.read(shard, start, start + 50, buffer) != whole[shard][start : start + 50]:
                wrong.append(shard)

    threads = [threading.Thread(target=read, args=[seed]) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    access.close()
    assert not wrong


@pytest.mark.slow
def test_processes_of_a_host_fetch_each_shard_once(dataset, log, files, root):
    command = [sys.executable, PROGRAM, dataset, root, str(GIB), log]
    running = [subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.getcwd()}) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert sorted(read_log(log)) == sorted((file.key, 0, file.entry.num_bytes) for file in files)


@pytest.mark.slow
def test_processes_that_are_killed_leave_whole_shards_and_no_rubbish(dataset, log, files, root):
    size = max(file.entry.num_bytes for file in files)
    generator = random.Random(5)
    command = [sys.executable, PROGRAM, dataset, root, str(4 * size), log]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    for _ in range(12):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        wait_for = len(read_log(log)) + generator.randrange(1, 4)
        while process.poll() is None and len(read_log(log)) < wait_for:
            time.sleep(0.001)
        time.sleep(generator.random() / 300)
        process.kill()
        process.wait()
        for path in (root / "shards").iterdir():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert subprocess.run(command, env=environment).returncode == 0
    assert os.listdir(root / "parts") == []
    assert os.listdir(root / "readers") == []
    assert sum(kept(root).values()) <= 4 * size


@pytest.mark.parametrize(
    ("text", "expected"), [("/nvme:200GB", ("/nvme", 200 * 10**9)), ("/a:b:1MiB", ("/a:b", 1 << 20))]
)
def test_a_folder_and_a_size(text, expected):
    found = parse_cache(text)
    assert (str(found.root), found.max_bytes, found.is_memory) == (*expected, False)


def test_memory():
    assert parse_cache("memory:1GB").is_memory


@pytest.mark.parametrize("text", ["", "/nvme", ":5GB", "/nvme:", "/nvme:much", "memory:-1GB"])
def test_what_is_no_cache(text):
    with pytest.raises(OptionsError, match="`cache`: expected"):
        parse_cache(text)


@pytest.mark.parametrize(
    ("num_lanes", "world", "num_ranks", "expected"), [(8, 8, 8, 8), (8, 8, 1, 1), (8, 3, 1, 8), (8, 4, 2, 4)]
)
def test_lanes_of_a_host(num_lanes, world, num_ranks, expected):
    assert lanes_of_host(num_lanes, world, num_ranks) == expected


def upload(dataset, endpoint, bucket):
    return upload_folder(boto3.client("s3", endpoint_url=endpoint), bucket, dataset, "d")


def take(loader, num_batches):
    with loader:
        batches = itertools.islice(loader, num_batches)
        return [(batch.epoch, batch.step, batch.images.copy(), batch.keys) for batch in batches]


@pytest.mark.slow
def test_a_loader_from_a_bucket(dataset, s3_endpoint, s3_bucket, root, monkeypatch):
    uri = upload(dataset, s3_endpoint, s3_bucket)
    given = {"batch_size": 4, "image_px": 32, "threads": 2, "where": "process", "keys": True}
    expected = take(Loader(str(dataset), "train", **given), 18)
    loader = Loader(uri, "train", store=StoreOptions(endpoint_url=s3_endpoint), cache=f"{root}:1GB", **given)
    found = take(loader, 18)
    for (epoch, step, images, keys), other in zip(found, expected, strict=True):
        assert (epoch, step, keys) == (other[0], other[1], other[3])
        np.testing.assert_array_equal(images, other[2])
    assert len(kept(root)) == 6


@pytest.mark.slow
def test_a_cache_that_is_too_small_or_nowhere_is_refused(dataset, s3_endpoint, s3_bucket, tmp_path, monkeypatch):
    uri = upload(dataset, s3_endpoint, s3_bucket)
    given = {"batch_size": 4, "image_px": 32, "store": StoreOptions(endpoint_url=s3_endpoint), "where": "process"}
    with pytest.raises(OptionsError, match="two shards of up to .* for each of the .* lanes"):
        Loader(uri, "train", cache=f"{tmp_path}:1KB", **given)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OptionsError, match="expected a folder that can be written"):
        Loader(uri, "train", cache=f"{tmp_path / 'file'}:1GB", **given)
    with pytest.raises(OptionsError, match="expected room for"):
        Loader(uri, "train", cache=f"{tmp_path}:1000000000GB", **given)
    monkeypatch.setattr(cache_options, "_MEMORY_ROOT", tmp_path)
    memory = Loader(uri, "train", cache="memory:100MB", **given)
    take(memory, 3)
    assert list(tmp_path.glob("shardpack-cache-*")) == []


@pytest.mark.slow
def test_the_process_beside_a_loop_gives_back_its_memory(dataset, s3_endpoint, s3_bucket, root):
    uri = upload(dataset, s3_endpoint, s3_bucket)
    store = StoreOptions(endpoint_url=s3_endpoint)
    take(Loader(uri, "train", batch_size=4, image_px=32, store=store, threads=2, cache=f"{root}:1GB"), 3)
    assert kept(root)
    assert os.listdir(root / "readers") == []
