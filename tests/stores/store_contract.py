"""What every store must do; a test class for each kind of store inherits this one."""

import array
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from packer.errors import ClaimLostError
from packer.stores.store import Claim, ObjectNotFoundError, Store


class StoreContract:
    """Subclasses give `store`, an empty one, and `again`, which opens an equal one."""

    @pytest.fixture
    def store(self) -> Store:
        raise AssertionError("a subclass provides it")

    def again(self, store: Store) -> Store:
        raise AssertionError("a subclass provides it")

    def keys(self, store: Store, prefix: str = "") -> list[str]:
        return sorted(info.key for info in store.list(prefix))

    def test_what_was_put_is_got(self, store: Store) -> None:
        store.put("train/a.bin", [b"one", memoryview(b"two"), b"", b"three"])
        assert store.get("train/a.bin") == b"onetwothree"
        assert bytes(store.view("train/a.bin")) == b"onetwothree"
        with store.open("train/a.bin") as stream:
            assert (stream.read(4), stream.read()) == (b"onet", b"wothree")
            assert (stream.seek(-5, os.SEEK_END), stream.read(5)) == (6, b"three")
        assert self.again(store).get("train/a.bin") == b"onetwothree"

    def test_empty_objects(self, store: Store) -> None:
        store.put("empty", [])
        assert store.get("empty") == b""
        assert bytes(store.view("empty")) == b""

    def test_many_buffers_and_large_ones(self, store: Store) -> None:
        buffers = [bytes([n % 256]) * (n % 7) for n in range(5000)] + [random.Random(0).randbytes(5_000_000)]
        store.put("large", buffers)
        assert store.get("large") == b"".join(buffers)

    def test_buffers_of_signed_bytes(self, store: Store) -> None:
        """Arrow's buffers are such."""
        store.put("signed", [memoryview(array.array("b", [1, -1]))])
        assert store.get("signed") == b"\x01\xff"

    def test_ranges(self, store: Store) -> None:
        store.put("k", [b"0123456789"])
        assert store.get_range("k", 2, 5) == b"234"
        assert store.get_range("k", 0, 10) == b"0123456789"
        assert store.get_range("k", 8, 20) == b"89"
        assert store.get_range("k", 4, 4) == b""

    def test_put_replaces(self, store: Store) -> None:
        store.put("k", [b"a longer old content"])
        store.put("k", [b"new"])
        assert store.get("k") == b"new"

    def test_missing_objects(self, store: Store) -> None:
        for read in (store.get, store.view, store.open, lambda key: store.get_range(key, 0, 1)):
            with pytest.raises(ObjectNotFoundError, match="nowhere/at-all"):
                read("nowhere/at-all")

    def test_list_gives_sizes_below_a_prefix(self, store: Store) -> None:
        for key in ("train/a", "train/b", "train-x/c", "meta/index/train/a.idx", "top"):
            store.put(key, [key.encode()])
        assert self.keys(store, "train/") == ["train/a", "train/b"]
        assert self.keys(store, "meta/") == ["meta/index/train/a.idx"]
        assert self.keys(store, "tr") == ["train-x/c", "train/a", "train/b"]
        assert self.keys(store) == ["meta/index/train/a.idx", "top", "train-x/c", "train/a", "train/b"]
        assert {info.key: info.num_bytes for info in store.list("t")}["top"] == 3
        assert self.keys(store, "absent/") == []

    def test_delete(self, store: Store) -> None:
        store.put("a/b/c", [b"1"])
        store.put("a/d", [b"1"])
        store.delete("a/b/c")
        store.delete("a/b/c")
        store.delete("never/was")
        assert self.keys(store) == ["a/d"]

    def test_delete_all(self, store: Store) -> None:
        keys = [f"a/{n % 3}/k &<{n}>" for n in range(40)]
        for key in [*keys, "a/kept", "kept"]:
            store.put(key, [b"1"])
        store.delete_all([*keys, "never/was"])
        assert self.keys(store) == ["a/kept", "kept"]
        store.delete_all([])
        assert self.keys(store) == ["a/kept", "kept"]

    def test_put_if_absent_writes_once(self, store: Store) -> None:
        assert store.put_if_absent("claim", [b"first"])
        assert not store.put_if_absent("claim", [b"second"])
        assert store.get("claim") == b"first"

    def test_one_of_many_claims_wins(self, store: Store) -> None:
        contents = [bytes([65 + n]) * 1000 for n in range(8)]
        barrier = threading.Barrier(len(contents))

        def claim(content: bytes) -> bool:
            own = self.again(store)
            barrier.wait()
            return own.put_if_absent("meta/claim", [content])

        with ThreadPoolExecutor(len(contents)) as threads:
            wins = list(threads.map(claim, contents))
        assert wins.count(True) == 1
        assert store.get("meta/claim") == contents[wins.index(True)]

    def test_readers_see_whole_objects_only(self, store: Store) -> None:
        contents = {bytes([65 + n]) * 200_000 for n in range(4)}
        store.put("k", [min(contents)])
        stop = threading.Event()

        def write() -> None:
            own = self.again(store)
            while not stop.is_set():
                for content in contents:
                    own.put("k", [content[:1000], content[1000:]])

        writer = threading.Thread(target=write)
        writer.start()
        seen = {store.get("k") for _ in range(100)}
        stop.set()
        writer.join()
        assert seen <= contents

    def test_names_that_need_care(self, store: Store) -> None:
        for key in ("with space", "ünï/cödé.jpg", "a+b%20c", "percent%", "q?x=1#y"):
            store.put(key, [key.encode()])
            assert store.get(key) == key.encode()
            assert key in self.keys(store)

    def test_put_if_same_replaces_only_what_was_seen(self, store: Store) -> None:
        store.put("k", [b"first"])
        seen = store.get_tagged("k")
        assert seen.data == b"first"
        store.put("k", [b"second"])
        assert not store.put_if_same("k", [b"third"], seen.tag)
        assert store.get("k") == b"second"
        assert store.put_if_same("k", [b"third"], store.get_tagged("k").tag)
        assert store.get("k") == b"third"
        assert not store.put_if_same("absent", [b"x"], seen.tag)
        assert self.keys(store) == ["k"]

    def own(self, store: Store, name: str) -> Store:
        """Take a store over as runs do: the claim first, then the end of all others."""
        folder = store.open_folder(name, is_new=True)
        store.put("claim", [name.encode()])
        owned = store.claimed(Claim(key="claim", tag=store.get_tagged("claim").tag, folder=folder))
        owned.end_others()
        return owned

    def test_who_was_taken_over_writes_and_removes_nothing(self, store: Store) -> None:
        first = self.own(store, "one")
        first.put("a", [b"1"])
        first.put("a", [b"one"])
        first.delete("never/was")
        assert first.get("a") == b"one"
        second = self.own(store, "two")
        second.put("b", [b"two"])
        seen = store.get_tagged("a")
        for act in (
            lambda: first.put("a", [b"late"]),
            lambda: first.put("b", [b"late"]),
            lambda: first.put("c/d", [b"late"]),
            lambda: first.put_if_absent("c", [b"late"]),
            lambda: first.put_if_same("a", [b"late"], seen.tag),
            lambda: first.delete("a"),
            lambda: first.delete_all(["a", "b"]),
            lambda: first.check_claim(),
        ):
            with pytest.raises(ClaimLostError):
                act()
        second.check_claim()
        assert self.keys(store) == ["a", "b", "claim"]
        assert [store.get(key) for key in ("a", "b")] == [b"one", b"two"]
