"""Exact copies are counted by their digests, in passes and groups that bound the memory."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from packer.dataset import duplicates
from packer.dataset.duplicates import count_duplicates, num_distinct
from packer.dataset.recordstable import encode_records
from packer.errors import DataSetError
from packer.stores.local_store import LocalStore
from tests.dataset.record_tables import put_tables


@pytest.mark.parametrize("per_pass", [10**9, 700, 90])
@pytest.mark.parametrize("num_contents", [1, 50, 1500, 10**9])
def test_every_copy_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_pass: int, num_contents: int
) -> None:
    chance = random.Random(num_contents)
    shards = [[chance.randrange(num_contents) for _ in range(size)] for size in (400, 1, 0, 699, 400)]
    keys = put_tables(LocalStore(tmp_path), shards, fills=3)
    monkeypatch.setattr(duplicates, "_ITEMS_PER_PASS", per_pass)
    expected = 1500 - len({number for shard in shards for number in shard})
    assert count_duplicates(LocalStore(tmp_path), keys, num_items=1500) == expected


def test_no_tables_and_no_items(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert count_duplicates(store, [], num_items=0) == 0
    assert count_duplicates(store, put_tables(store, [[], []]), num_items=0) == 0


@pytest.mark.parametrize("num_firsts", [1, 3, 1000])
def test_rows_that_share_a_word(num_firsts: int) -> None:
    chance = np.random.default_rng(num_firsts)
    words = np.stack([chance.integers(num_firsts, size=999), chance.integers(40, size=999)], axis=1).astype(np.uint64)
    assert num_distinct(words) == len({tuple(row) for row in words.tolist()})
    assert num_distinct(words[:1]) == 1
    assert num_distinct(words[:0]) == 0


@pytest.mark.parametrize(
    "digests", [pa.array([b"x" * 32, None], pa.binary(32)), pa.array([b"x", b"y"]), pa.array(["x", "y"])]
)
def test_a_column_of_something_else_is_told(tmp_path: Path, digests: pa.Array) -> None:
    store = LocalStore(tmp_path)
    table = pa.table({"source_sha256": digests, "is_fill": pa.array([False, True])})
    store.put("t.parquet", [encode_records(table)])
    with pytest.raises(DataSetError, match=r"t\.parquet: expected a sha256 and a fill flag in each row"):
        count_duplicates(store, ["t.parquet"], num_items=1)
