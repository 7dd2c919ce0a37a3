"""Reading an archive that lies in a store: every byte in its place, few requests, little held."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packer.errors import SourceChangedError
from packer.sources.archivefiles import open_remote
from packer.sources.tars import iter_tar
from packer.sources.zips import iter_zip
from packer.stores.local_store import LocalStore
from packer.stores.store import ObjectInfo
from tests.sources.packed import write_tar, write_zip

BLOCK = 1 << 20


class CountingStore(LocalStore):
    """Knows what was read of it, and how many reads were under way at a time."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._lock = threading.Lock()
        self.ranges: list[tuple[int, int]] = []
        self.num_running = self.most_running = 0

    @property
    def num_bytes(self) -> int:
        return sum(stop - start for start, stop in self.ranges)

    def get_range(self, key: str, start: int, stop: int, etag: str = "") -> bytes:
        with self._lock:
            self.ranges.append((start, stop))
            self.num_running += 1
            self.most_running = max(self.most_running, self.num_running)
        time.sleep(0.001)
        try:
            return super().get_range(key, start, stop)
        finally:
            with self._lock:
                self.num_running -= 1


def info_of(path: Path) -> ObjectInfo:
    return ObjectInfo(path.name, path.stat().st_size)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("noise") / "set.tar"
    path.write_bytes(random.Random(1).randbytes(7 * BLOCK + 1234))
    return path


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 8 * BLOCK), st.integers(0, 3 * BLOCK)), max_size=12))
def test_reads_in_any_order_give_the_bytes_of_the_file(noise: Path, reads: list[tuple[int, int]]) -> None:
    data = noise.read_bytes()
    with ThreadPoolExecutor(4) as threads, open_remote(LocalStore(noise.parent), info_of(noise), threads) as file:
        for offset, num_bytes in reads:
            assert file.read(offset, num_bytes) == data[offset : offset + num_bytes]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_headers_that_lie_close_are_read_in_few_blocks(tmp_path: Path, kind: str) -> None:
    members = {f"c/{n}.jpg": random.Random(n).randbytes(50_000) for n in range(200)}
    path = (write_tar if kind == "tar" else write_zip)(tmp_path, members)
    store = CountingStore(tmp_path)
    with ThreadPoolExecutor(16) as threads, open_remote(store, info_of(path), threads) as file:
        assert len(list((iter_tar if kind == "tar" else iter_zip)(file))) == 200
    assert len(store.ranges) < 20
    assert store.num_bytes < path.stat().st_size + 3 * BLOCK
    assert store.most_running <= 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_large_members_are_jumped_over(tmp_path: Path, kind: str) -> None:
    member = random.Random(1).randbytes(5_000_000)
    path = (write_tar if kind == "tar" else write_zip)(tmp_path, {f"c/{n}.jpg": member for n in range(12)})
    store = CountingStore(tmp_path)
    with ThreadPoolExecutor(16) as threads, open_remote(store, info_of(path), threads) as file:
        assert len(list((iter_tar if kind == "tar" else iter_zip)(file))) == 12
    assert store.num_bytes < 3 * BLOCK
    assert len(store.ranges) < 20


def test_an_archive_that_is_shorter_than_listed_has_changed(noise: Path) -> None:
    info = ObjectInfo(noise.name, noise.stat().st_size + 1)
    with (
        pytest.raises(SourceChangedError, match=r"set\.tar: expected 1,235 bytes at .* while it was listed"),
        ThreadPoolExecutor(4) as threads,
        open_remote(LocalStore(noise.parent), info, threads) as file,
    ):
        file.read(0, info.num_bytes)


def test_an_archive_that_is_gone_has_changed(tmp_path: Path) -> None:
    with (
        pytest.raises(SourceChangedError, match=r"gone\.zip: was removed while it was listed"),
        ThreadPoolExecutor(4) as threads,
        open_remote(LocalStore(tmp_path), ObjectInfo("gone.zip", 100), threads) as file,
    ):
        file.read(0, 10)
