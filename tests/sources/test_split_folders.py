"""Folders train, val and test: refused as classes, and splits where that is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from packer.errors import OptionsError, SourceError
from packer.options import parse_options
from packer.sources.items import LabelKind, SourceSpec
from packer.sources.open_source import list_source
from packer.sources.splitfolders import split_of
from tests.tools.datasets import pack_small, read_manifest, read_records, write_images


def put(folder: Path, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def listed(folder: Path, **fields):
    return list_source(SourceSpec(source=str(folder), **fields))


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("train2017", "train"),
        ("Train_Set", "train"),
        ("val", "val"),
        ("valid", "val"),
        ("validation", "val"),
        ("dev", "val"),
        ("test-images", "test"),
        ("testing", "test"),
        ("trains", None),
        ("values", None),
        ("cat", None),
    ],
)
def test_names_of_splits(folder, split):
    assert split_of(folder) == split


@pytest.mark.parametrize("names", [["train/cat/1.jpg", "val/cat/1.jpg"], ["train2017/1.jpg", "val2017/2.jpg"]])
def test_without_the_option_they_are_refused(tmp_path, names):
    put(tmp_path, *names, "annotations/x.json")
    with pytest.raises(SourceError, match="are named as splits and would become classes; pass `split_folders=True`"):
        listed(tmp_path)
    assert listed(tmp_path, flat=True).label_kind is LabelKind.NONE
    (tmp_path / "map.json").write_text('["train", "val", "train2017", "val2017", "annotations"]')
    assert listed(tmp_path, class_map=str(tmp_path / "map.json")).label_kind is LabelKind.CLASS


def test_the_folders_are_splits_and_those_in_them_classes(tmp_path):
    put(
        tmp_path,
        "train/cat/1.jpg",
        "train/dog/2.jpg",
        "val/dog/3.jpg",
        "test/ape/4.jpg",
        "test/dog/5.txt",
        "notes/a.txt",
    )

    listing = listed(tmp_path, split_folders=True)

    assert listing.items.to_pylist() == [
        {"key": "test/ape/4.jpg", "num_bytes": 1, "label": 0, "split": "test"},
        {"key": "train/cat/1.jpg", "num_bytes": 1, "label": 1, "split": "train"},
        {"key": "train/dog/2.jpg", "num_bytes": 1, "label": 2, "split": "train"},
        {"key": "val/dog/3.jpg", "num_bytes": 1, "label": 2, "split": "val"},
    ]
    assert (listing.class_names, listing.root) == (("ape", "cat", "dog"), str(tmp_path))
    assert "left out the folders 'notes': not named as splits" in listing.notices
    assert "test: skipped 1 file not named as images: 1 .txt" in listing.notices


def test_without_class_folders_there_are_no_labels(tmp_path):
    put(tmp_path, "train/1.jpg", "val/2.jpg")
    listing = listed(tmp_path, split_folders=True)
    assert (listing.label_kind, listing.items["split"].to_pylist()) == (LabelKind.NONE, ["train", "val"])
    put(tmp_path, "train/cat/3.jpg")
    (tmp_path / "train/1.jpg").unlink()
    with pytest.raises(SourceError, match="the splits 'train' have class folders, 'val' have none"):
        listed(tmp_path, split_folders=True)
    assert listed(tmp_path, split_folders=True, flat=True).items.num_rows == 2


def test_a_class_map_gives_the_ids(tmp_path):
    put(tmp_path, "train/cat/1.jpg", "val/dog/2.jpg")
    (tmp_path / "map.json").write_text('["dog", "cat"]')
    listing = listed(tmp_path, split_folders=True, class_map=str(tmp_path / "map.json"))
    assert listing.items["label"].to_pylist() == [1, 0]


def test_no_folder_of_a_split(tmp_path):
    put(tmp_path, "cat/1.jpg")
    with pytest.raises(SourceError, match="`split_folders`: .*: expected folders named train, val or test, got 'cat'"):
        listed(tmp_path, split_folders=True)


@pytest.mark.parametrize("option", [{"split": "train=0.9,val=0.1"}, {"split_column": "split"}])
def test_splits_are_named_once(option):
    with pytest.raises(OptionsError, match="`split_folders`: expected without `split` and `split_column`"):
        parse_options({"source": "a", "dest": "b", "split_folders": True, **option})


@pytest.mark.slow
def test_packed(tmp_path):
    for split, number in (("train", 40), ("val", 12)):
        write_images(tmp_path / "source" / split, number)
    pack_small(tmp_path / "source", tmp_path / "out", split_folders=True)
    manifest = read_manifest(tmp_path / "out")
    assert {name: split.num_records for name, split in manifest.splits.items()} == {"train": 40, "val": 12}
    keys = [row["key"] for shard in manifest.splits["val"].shards for row in read_records(tmp_path / "out", shard.key)]
    assert len(keys) == 12
    assert all(key.startswith("val/") for key in keys)


@pytest.mark.slow
def test_archives_in_the_folders(tmp_path):
    for split in ("train", "val"):
        write_images(tmp_path / "images" / split, 20)
        (tmp_path / "source" / split).mkdir(parents=True)
        shutil.make_archive(str(tmp_path / "source" / split / "all"), "zip", tmp_path / "images" / split)
    pack_small(tmp_path / "source", tmp_path / "out", split_folders=True)
    manifest = read_manifest(tmp_path / "out")
    assert {name: split.num_records for name, split in manifest.splits.items()} == {"train": 20, "val": 20}
