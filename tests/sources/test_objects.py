import pyarrow as pa
import pytest

from packer.sources import objects
from packer.sources.objects import load_objects
from packer.stores.store import ObjectInfo


class Bucket:
    """Lists many objects, and notes how many bytes Arrow holds meanwhile."""

    def __init__(self, num_objects):
        self._num_objects = num_objects
        self.prefix = None
        self.most_bytes = 0

    def list(self, prefix=""):
        self.prefix = prefix
        start = pa.total_allocated_bytes()
        for index in range(self._num_objects):
            self.most_bytes = max(self.most_bytes, pa.total_allocated_bytes() - start)
            yield ObjectInfo(f"photos/{'folder/' * 10}{index}.jpg", index, f"tag{index}")


def keys_of(indices):
    return pa.chunked_array([[f"photos/{'folder/' * 10}{index}.jpg" for index in indices]], pa.large_string())


@pytest.mark.parametrize("num_keys", [2, 30, 600, 5000])
def test_sizes_and_tags_of_the_objects_that_are_there(monkeypatch, num_keys):
    monkeypatch.setattr(objects, "_CHUNK_OBJECTS", 100)
    indices = [(7 * index) % 5001 for index in range(num_keys)]
    store = Bucket(5000)
    found = load_objects(store, keys_of(indices))
    assert store.prefix == "photos/" + "folder/" * 10
    assert found["num_bytes"].to_pylist() == [index if index < 5000 else -1 for index in indices]
    assert found["_etag"].to_pylist() == [f"tag{index}" if index < 5000 else "" for index in indices]


def test_an_empty_place_has_none_of_them():
    found = load_objects(Bucket(0), keys_of([1, 2]))
    assert (found["num_bytes"].to_pylist(), found["_etag"].to_pylist()) == ([-1, -1], ["", ""])


def test_memory_is_bounded_by_what_is_asked_for(monkeypatch):
    monkeypatch.setattr(objects, "_CHUNK_OBJECTS", 1000)
    store = Bucket(40_000)
    found = load_objects(store, keys_of(range(0, 40_000, 100)))
    assert found["num_bytes"].to_pylist() == list(range(0, 40_000, 100))
    assert store.most_bytes < 1_000_000  # all of them are 4,500,000 bytes
