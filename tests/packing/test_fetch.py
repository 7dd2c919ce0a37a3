"""Reading ahead: order, bounds and what an item that cannot be read becomes."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import SourceChangedError
from packer.imaging.rejects import RejectError, RejectReason
from packer.packing import fetch
from packer.packing.fetch import fetch_ahead
from packer.packing.sample import ItemRow
from packer.stores.local_store import LocalStore
from packer.stores.store import Store


def items(sizes: dict[str, int]) -> list[ItemRow]:
    return [
        ItemRow(key=key, num_bytes=size, label=None, class_text="", member=None, extras={})
        for key, size in sizes.items()
    ]


def write(folder: Path, sizes: dict[str, int]) -> list[ItemRow]:
    for number, (key, size) in enumerate(sizes.items()):
        (folder / key).write_bytes(bytes([number % 256]) * size)
    return items(sizes)


class FarStore(LocalStore):
    """A folder that is read by threads from the first item on."""

    is_near = False


class SlowStore(LocalStore):
    """Keeps whoever reads waiting, and notes the threads that did."""

    def __init__(self, root: Path, wait_s: float) -> None:
        super().__init__(root)
        self._wait_s = wait_s
        self.readers: list[str] = []

    def get(self, key: str, etag: str = "") -> bytes:
        self.readers.append(threading.current_thread().name)
        time.sleep(self._wait_s)
        return super().get(key, etag)


@pytest.mark.parametrize("store", [LocalStore, FarStore, lambda root: SlowStore(root, 0.008)])
def test_in_order_and_whole(store: Callable[[Path], Store], tmp_path: Path) -> None:
    sizes = {f"{number:03d}": 1 + 37 * number % 5000 for number in range(200)}
    rows = write(tmp_path, sizes)
    for number, (row, data) in enumerate(zip(rows, fetch_ahead(store(tmp_path), rows), strict=True)):
        assert data == bytes([number % 256]) * row.num_bytes


def test_threads_take_over_from_who_had_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PATIENCE_S", 0.02)
    rows = write(tmp_path, {str(number): 10 for number in range(12)})
    store = SlowStore(tmp_path, 0.05)
    assert len(list(fetch_ahead(store, rows))) == 12
    first, *others = store.readers
    assert first == threading.current_thread().name
    assert len(others) == 11
    assert all(name.startswith("read-ahead") for name in others)


def test_what_is_read_at_once_needs_no_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PATIENCE_S", 60.0)  # the machine may be busy
    rows = write(tmp_path, {str(number): 10 for number in range(12)})
    store = SlowStore(tmp_path, 0)
    assert len(list(fetch_ahead(store, rows))) == 12
    assert set(store.readers) == {threading.current_thread().name}


@pytest.mark.parametrize("store", [LocalStore, FarStore])
def test_rejects_come_in_their_place(store: Callable[[Path], Store], tmp_path: Path) -> None:
    rows = write(tmp_path, {"a": 3, "empty": 0, "b": 4})
    rows.insert(1, items({"gone": 5})[0])
    found = list(fetch_ahead(store(tmp_path), rows))
    assert [f.reason if isinstance(f, RejectError) else len(f) for f in found] == [
        3, RejectReason.MISSING, RejectReason.EMPTY_FILE, 4,
    ]  # fmt: skip


@pytest.mark.parametrize("store", [LocalStore, FarStore])
def test_a_changed_size_ends_it_at_its_place(store: Callable[[Path], Store], tmp_path: Path) -> None:
    rows = write(tmp_path, {"a": 3, "b": 4, "c": 5})
    (tmp_path / "b").write_bytes(b"12345")
    fetched = fetch_ahead(store(tmp_path), rows)
    assert next(fetched) == b"\0\0\0"
    with pytest.raises(SourceChangedError, match=r"/b: expected 4 bytes as listed, found 5; the source changed"):
        next(fetched)


class CountingStore(LocalStore):
    """A store that is not near; counts the bytes that were handed over and not yet taken."""

    is_near = False

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._lock = threading.Lock()
        self.held_bytes = self.most_bytes = self.num_reads = 0

    def get(self, key: str, etag: str = "") -> bytes:
        data = super().get(key, etag)
        with self._lock:
            self.num_reads += 1
            self.held_bytes += len(data)
            self.most_bytes = max(self.most_bytes, self.held_bytes)
        return data

    def take(self, num_bytes: int) -> None:
        with self._lock:
            self.held_bytes -= num_bytes


@pytest.mark.slow
def test_memory_is_bounded_however_slow_the_consumer_is(tmp_path: Path) -> None:
    rows = write(tmp_path, {str(number): 9_000_000 for number in range(12)})
    store = CountingStore(tmp_path)
    for data in fetch_ahead(store, rows):
        assert isinstance(data, bytes)
        time.sleep(0.01)
        store.take(len(data))
    assert 9_000_000 <= store.most_bytes <= 32_000_000 + 2 * 9_000_000


def test_an_item_above_the_bound_is_read_alone(tmp_path: Path) -> None:
    rows = write(tmp_path, {"small": 10, "large": 40_000_000, "next": 10})
    assert [len(cast("bytes", data)) for data in fetch_ahead(LocalStore(tmp_path), rows)] == [10, 40_000_000, 10]


def test_who_stops_early_leaves_no_thread(tmp_path: Path) -> None:
    rows = write(tmp_path, {str(number): 100 for number in range(100)})
    store = CountingStore(tmp_path)
    fetched = fetch_ahead(store, rows)
    next(fetched)
    fetched.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
    assert store.num_reads < 100


@given(st.lists(st.integers(0, 300_000), max_size=60), st.integers(0, 8))
def test_groups_are_small_and_the_first_items_alone(sizes: list[int], num_alone: int) -> None:
    rows = items({str(number): size for number, size in enumerate(sizes)})
    groups = list(fetch._groups(rows, num_alone=num_alone))
    assert [row for group in groups for row in group] == rows
    assert all(len(group) == 1 for group in groups[:num_alone])
    for group in groups:
        assert 1 <= len(group) <= 4
        assert len(group) == 1 or sum(row.num_bytes for row in group) <= 500_000


def test_rejects_come_in_their_place_within_a_group(tmp_path: Path) -> None:
    rows = write(tmp_path, {f"{number:03d}": 5 for number in range(40)})
    rows[34:34] = items({"gone": 5})
    found = list(fetch_ahead(FarStore(tmp_path), rows))
    assert [index for index, data in enumerate(found) if isinstance(data, RejectError)] == [34]


class ForgetfulStore(FarStore):
    """Denies an object some times, as servers do that have just been told of it."""

    def __init__(self, root: Path, num_denials: int) -> None:
        super().__init__(root)
        self._left = num_denials
        self.num_reads = 0

    def get(self, key: str, etag: str = "") -> bytes:
        self.num_reads += 1
        self._left -= 1
        return super().get("absent" if self._left >= 0 else key, etag)


@pytest.mark.parametrize(("num_denials", "num_reads"), [(0, 1), (2, 3), (3, 3)])
def test_a_listed_object_that_is_denied_is_asked_for_twice_more(
    tmp_path: Path, num_denials: int, num_reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_MISSING_WAITS_S", (0.0, 0.0))
    rows = write(tmp_path, {"a": 5})
    store = ForgetfulStore(tmp_path, num_denials)
    (data,) = fetch_ahead(store, rows)
    assert store.num_reads == num_reads
    assert (data.reason is RejectReason.MISSING) if isinstance(data, RejectError) else (data == bytes(5))
    assert isinstance(data, RejectError) == (num_denials == 3)
