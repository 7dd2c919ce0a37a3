import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.dataset import duplicates
from packer.dataset.copies import CopyCounts
from packer.dataset.duplicates import num_distinct
from packer.errors import OptionsError, SourceError
from packer.planning.layout import COPIES_KEY
from packer.progress import SilentProgress
from packer.resharding import reshard
from packer.verifying import verify
from tests.tools.datasets import SerialEngine, make_options, pack_small, read_manifest, read_records, write_images


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """96 images, 10 of them there twice and one of these three times, all in their own classes."""
    folder = write_images(tmp_path / "source", 96)
    for index in range(10):
        original = next(folder.glob(f"*/{index:04d}.*"))
        shutil.copy(original, original.with_name(f"copy{index}{original.suffix}"))
    shutil.copy(next(folder.glob("*/0000.*")), folder / "c0" / "again.jpg")
    return folder


@pytest.fixture
def disputed(tmp_path: Path) -> Path:
    """48 images, one of them in two classes, another twice in one class."""
    folder = write_images(tmp_path / "disputed", 48)
    shutil.copy(folder / "c1/0001.jpg", folder / "c0/other.jpg")
    shutil.copy(folder / "c2/0002.jpg", folder / "c2/again.jpg")
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


def copies_of(dest: Path) -> list[dict]:
    return pq.read_table(dest / COPIES_KEY).to_pylist()


def test_copies_are_listed_with_labels_and_splits(disputed: Path, tmp_path: Path) -> None:
    result = pack_small(disputed, tmp_path / "data", split="train=0.5,val=0.5", allow_fill=True)
    kept = {key: split for split, keys in keys_of(tmp_path / "data").items() for key in keys}
    rows = {row["kept_key"]: row for row in copies_of(tmp_path / "data")}
    assert set(rows) == {"c0/other.jpg", "c2/0002.jpg"}
    one, two = rows["c0/other.jpg"], rows["c2/0002.jpg"]
    assert (one["other_keys"], one["labels"]) == (["c1/0001.jpg"], ["0", "1"])
    assert (two["other_keys"], two["labels"]) == (["c2/again.jpg"], ["2", "2"])
    assert one["source_sha256"] == hashlib.sha256((disputed / "c1/0001.jpg").read_bytes()).digest()
    for row in rows.values():
        assert row["splits"] == [kept[key] for key in (row["kept_key"], *row["other_keys"])]
    crossing = sum(len(set(row["splits"])) > 1 for row in rows.values())
    assert result.copies == CopyCounts(num_sets=2, num_conflicts=1, num_crossing=crossing)
    assert crossing, "choose another seed: nothing crosses"
    assert verify(str(tmp_path / "data"), SerialEngine(), SilentProgress()).faults == ()


def test_nothing_is_written_where_there_are_no_copies(tmp_path: Path) -> None:
    pack_small(write_images(tmp_path / "source", 24), tmp_path / "data", dedupe=True)
    assert not (tmp_path / "data" / COPIES_KEY).exists()
    assert "copies_sha256" not in (tmp_path / "data/meta/plan.json").read_text()


def test_labels_that_differ_end_dedupe_before_anything_is_written(disputed: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"1 set of exact copies .* c[01]/\w+\.jpg \(label [01]\) and c[01]/"):
        pack_small(disputed, tmp_path / "data", dedupe=True, allow_fill=True)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize(("choice", "kept"), [("drop", None), ("first", "c0/other.jpg")])
def test_the_user_settles_labels_that_differ_and_no_seed(
    disputed: Path, tmp_path: Path, seed: int, choice: str, kept: str | None
) -> None:
    dest = tmp_path / "data"
    options = {"split": "train=0.5,val=0.5", "dedupe": True, "on_conflict": choice, "allow_fill": True, "seed": seed}
    result = pack_small(disputed, dest, **options)
    packed = {key: split for split, keys in keys_of(dest).items() for key in keys}
    assert {"c0/other.jpg", "c1/0001.jpg"} & set(packed) == ({kept} if kept else set())
    assert len({"c2/0002.jpg", "c2/again.jpg"} & set(packed)) == 1
    (row,) = [row for row in copies_of(dest) if sorted(row["labels"]) == ["0", "1"]]
    assert row["kept_key"] == kept
    assert row["other_keys"] == (["c1/0001.jpg"] if kept else ["c0/other.jpg", "c1/0001.jpg"])
    assert row["splits"] == [packed.get("c0/other.jpg"), None]
    assert result.copies == CopyCounts(num_sets=2, num_conflicts=1)
    assert verify(str(dest), SerialEngine(), SilentProgress()).faults == ()
    copied = reshard(make_options(dest, tmp_path / "copy", gpus=2, allow_fill=True), engine=SerialEngine())
    assert copied.copies == result.copies
    assert copies_of(tmp_path / "copy") == copies_of(dest)
    assert verify(str(tmp_path / "copy"), SerialEngine(), SilentProgress()).faults == ()


def test_a_choice_without_a_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="`on_conflict`: expected with `dedupe=True`"):
        make_options(tmp_path, tmp_path / "data", on_conflict="drop")


@pytest.mark.parametrize("dedupe", [False, True])
@pytest.mark.parametrize("damage", ["missing", "other rows", "other bytes"])
def test_a_damaged_list_is_found(source: Path, tmp_path: Path, damage: str, dedupe: bool) -> None:
    dest = tmp_path / "data"
    pack_small(source, dest, dedupe=dedupe, allow_fill=True)
    path = dest / COPIES_KEY
    if damage == "missing":
        path.unlink()
    elif damage == "other rows":
        pq.write_table(pq.read_table(path).slice(1), path)
    else:
        pq.write_table(pq.read_table(path), path, compression="none")
    (fault,) = verify(str(dest), SerialEngine(), SilentProgress()).faults
    assert fault.startswith(f"{COPIES_KEY}: ")


def test_a_plan_without_its_list_is_found(source: Path, tmp_path: Path) -> None:
    pack_small(source, tmp_path / "data", dedupe=True, allow_fill=True)
    (path,) = (tmp_path / "data/meta/plan").glob("*copies*")
    pq.write_table(pq.read_table(path).slice(1), path)
    (fault,) = verify(str(tmp_path / "data"), SerialEngine(), SilentProgress()).faults
    assert "the plan's list of copies is not the one that was made" in fault


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_distinct_rows(rows: list[tuple[int, int]]) -> None:
    assert num_distinct(np.array(rows, dtype=np.uint64).reshape(-1, 2)) == len(set(rows))
