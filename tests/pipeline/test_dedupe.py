import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.dataset import duplicates
from packer.dataset.duplicates import num_distinct
from tests.tools.datasets import pack_small, read_manifest, read_records, write_images


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """96 images, 10 of them there twice and one of these three times, copies in other classes too."""
    folder = write_images(tmp_path / "source", 96)
    for index in range(10):
        original = next(folder.glob(f"*/{index:04d}.*"))
        shutil.copy(original, folder / f"c{(index + 1) % 3}" / f"copy{index}{original.suffix}")
    shutil.copy(next(folder.glob("*/0000.*")), folder / "c2" / "again.jpg")
    return folder


def keys_of(dest: Path) -> dict[str, list[str]]:
    return {
        name: [row["key"] for shard in split.shards for row in read_records(dest, shard.key) if not row["is_fill"]]
        for name, split in read_manifest(dest).splits.items()
    }


def test_copies_are_counted(source: Path, tmp_path: Path) -> None:
    pack_small(source, tmp_path / "data", split="train=0.5,val=0.5", allow_fill=True)
    assert read_manifest(tmp_path / "data").num_duplicates == 11


def test_copies_are_counted_in_several_passes(source: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(duplicates, "_ITEMS_PER_PASS", 10)
    pack_small(source, tmp_path / "data", allow_fill=True)
    assert read_manifest(tmp_path / "data").num_duplicates == 11


def test_fills_are_no_duplicates(tmp_path: Path) -> None:
    pack_small(write_images(tmp_path / "source", 97), tmp_path / "data", allow_fill=True)
    manifest = read_manifest(tmp_path / "data")
    assert manifest.splits["train"].num_fills == 3
    assert manifest.num_duplicates == 0


def test_dedupe_keeps_one_of_each_so_copies_never_cross_splits(source: Path, tmp_path: Path) -> None:
    pack_small(source, tmp_path / "data", split="train=0.5,val=0.5", dedupe=True, allow_fill=True)
    manifest = read_manifest(tmp_path / "data")
    assert manifest.num_duplicates == 0
    assert sum(len(keys) for keys in keys_of(tmp_path / "data").values()) == 96


def test_the_one_that_is_kept_is_the_first_in_hash_order(source: Path, tmp_path: Path) -> None:
    """So it depends on the seed and the keys alone, and another seed may keep another one."""
    kept = []
    for seed in (0, 0, 1):
        dest = tmp_path / f"data{len(kept)}"
        pack_small(source, dest, dedupe=True, seed=seed, allow_fill=True)
        kept.append(sorted(keys_of(dest)["train"]))
    assert kept[0] == kept[1]
    assert kept[0] != kept[2]


def test_items_without_bytes_stay_and_are_rejected(source: Path, tmp_path: Path) -> None:
    for name in ("empty1.jpg", "empty2.jpg"):
        (source / "c0" / name).touch()
    pack_small(source, tmp_path / "data", dedupe=True, max_rejects=0.1, allow_fill=True)
    assert read_manifest(tmp_path / "data").rejects == {"empty_file": 2}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_distinct_rows(rows: list[tuple[int, int]]) -> None:
    assert num_distinct(np.array(rows, dtype=np.uint64).reshape(-1, 2)) == len(set(rows))
