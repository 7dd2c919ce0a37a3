"""What inspect and plan say of classes, images, labels, fills and where a data set came from."""

import json
from pathlib import Path

import pytest

from packer.cli.dataset_lines import class_table, fill_lines, image_line, label_lines, origin_line
from packer.dataset.facts import DataSetFacts
from packer.options import parse_options
from tests.cli.commands import shardpack
from tests.tools.datasets import pack_small, write_images

NAMES = ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "images: short side 256 px, jpeg, quality 95, subsampling 420"),
        ({"resize": "64x32"}, "images: 64 x 32 px, cropped around the centre, jpeg, quality 95, subsampling 420"),
        ({"resize": "64", "fit": "long", "encode": "png"}, "images: long side 64 px, png"),
        ({"encode": "keep"}, "images: as they are, keep"),
        ({"encode": "webp", "quality": 80, "alpha": "keep", "resize": "8", "fit": "contain"},
         "images: 8 x 8 px, padded, webp, quality 80, with transparency"),
        ({"resize": "8", "fit": "stretch", "encode": "png"}, "images: 8 x 8 px, stretched, png"),
    ],
)  # fmt: skip
def test_images(options: dict[str, object], expected: str) -> None:
    assert image_line(parse_options({"source": "a", "dest": "b", **options}).image_spec()) == expected


def test_labels() -> None:
    assert list(label_lines("none", {"train": {}}, ())) == [
        "labels: none (class folders or a column of labels give some)"
    ]
    assert list(label_lines("floats", {"train": {}}, ())) == ["labels: numbers, in the order of their columns"]
    assert list(label_lines("class", {"train": {0: 5, 2: 9}, "val": {1: 1}}, NAMES)) == [
        "classes of train: 2 classes: owl 9, cat 5",
        "classes of val: 1 class: dog 1",
    ]


def test_of_many_classes_the_largest_and_the_smallest() -> None:
    (line,) = label_lines("class", {"train": {label: 1000 + label for label in range(9)}}, NAMES)
    assert (
        line
        == "classes of train: 9 classes; largest: 8 1,008, 7 1,007, 6 1,006; smallest: owl 1,002, dog 1,001, cat 1,000"
    )


def test_a_table_of_all_classes() -> None:
    assert class_table({"train": {0: 5, 2: 9}, "val": {1: 1}}, NAMES) == [
        ("class", "train", "val"), ("cat", "5", "0"), ("dog", "0", "1"), ("owl", "9", "0"),
    ]  # fmt: skip


def test_fills_are_explained() -> None:
    assert list(fill_lines({"train": (3, 1003), "val": (0, 10)})) == [
        "fills of train: 3 of 1,003 records repeat another one of their shard, so that all its shards are equal and no "
        "GPU runs out first"
    ]


def test_origins() -> None:
    facts = DataSetFacts(source="/photos", started="2026-11-30T04:20:00Z", release="0.2.0")
    assert origin_line(facts) == "packed from /photos on 2026-11-30 04:20 UTC by shardpack 0.2.0"
    assert origin_line(DataSetFacts(source="/shards", command="reshard")) == "copied from /shards"
    assert origin_line(DataSetFacts()) == "packed"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    pack_small(write_images(folder / "source", 61), folder / "out", split="train=0.8,val=0.2", allow_fill=True)
    return folder


def test_inspect_shows_them(packed: Path, capfd) -> None:
    code, out, errors = shardpack(capfd, "inspect", packed / "out", "--classes")
    assert (code, errors) == (0, "")
    assert "images: short side 24 px, jpeg, quality 95, subsampling 420\n" in out
    assert "classes of val: 3 classes: " in out
    assert "fills of train: 3 of 52 records repeat another one" in out
    assert f"packed from {packed}/source on 20" in out
    rows = [line.split() for line in out.splitlines() if line.startswith(("c0", "c1", "c2"))]
    assert sum(int(train) + int(val) for _, train, val in rows) == 61
    told = json.loads(shardpack(capfd, "inspect", packed / "out", "--json")[1])
    assert {name: sum(counts.values()) for name, counts in told["classes"].items()} == {"train": 49, "val": 12}
    assert told["source"] == f"{packed}/source"
    assert told["image"]["width"] == 24
    assert told["started"].endswith("Z")


def test_plan_shows_them(packed: Path, capfd) -> None:
    places = (packed / "source", "--gpus", 4, "--resize", 24, "--workers", 1, "--allow-fill")
    code, out, errors = shardpack(capfd, "plan", *places)
    assert (code, errors) == (0, "")
    assert "classes of train: 3 classes: c0 21, c1 20, c2 20\n" in out
    assert "fills of train: 3 of 64 records repeat another one" in out
    told = json.loads(shardpack(capfd, "plan", *places, "--json")[1])
    assert told["classes"] == {"train": {"c0": 21, "c1": 20, "c2": 20}}
    assert "labels: none" in shardpack(capfd, "plan", *places, "--flat")[1]


def test_what_is_lost_beside_the_manifest_is_left_out(packed: Path, tmp_path: Path, capfd) -> None:
    pack_small(packed / "source", tmp_path / "out", allow_fill=True)
    for name in ("labels.json", "run.json", "plan.json"):
        (tmp_path / "out/meta" / name).unlink()
    code, out, _ = shardpack(capfd, "inspect", tmp_path / "out")
    assert code == 0
    assert out.endswith("\npacked\n")
