"""Parquet as others read it, unmodified: pandas, Hugging Face datasets and Spark. And who refuses it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import packer
from packer.cli.main import run
from packer.errors import OptionsError
from tests.tools.datasets import digests, image_bytes, pack_small, read_manifest, read_records
from tests.tools.spark_sessions import spark_session

PX = 24
NUM_IMAGES = 30
NAMES = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with named classes, boxes, masks, captions and a fill."""
    folder = tmp_path_factory.mktemp("parquet")
    rows = []
    for number in range(NUM_IMAGES):
        (folder / f"{number:03}.jpg").write_bytes(image_bytes(number, width=64, height=48))
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 20:40] = number + 1
        Image.fromarray(mask).save(folder / f"{number:03}-mask.png")
        boxes = [[8 + number, 4, 40, 30], [0, 0, 30, 44]][: number % 3]
        row = {"boxes": boxes, "classes": [NAMES[number % 3], "bee"][: len(boxes)], "text": f"picture {number}"}
        rows.append({"path": f"{number:03}.jpg", "label": NAMES[number % 3], "mask": f"{number:03}-mask.png", **row})
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    fields = ["object=boxes:boxes+classes", "mask=mask:mask", "caption=text:text"]
    options = {"format": "parquet", "field": fields, "resize": f"{PX}x{PX}", "gpus": 2, "split": "train=0.7,val=0.3"}
    pack_small(folder / "list.jsonl", folder / "set", allow_fill=True, **options)
    assert read_manifest(folder / "set").splits["train"].num_fills == 1
    return folder / "set"


def expected_rows(packed: Path, split: str) -> list[dict]:
    return [row for shard in read_manifest(packed).splits[split].shards for row in read_records(packed, shard.key)]


def test_training_shards_are_equal_in_records(packed: Path) -> None:
    assert {shard.num_records for shard in read_manifest(packed).splits["train"].shards} == {11}


def test_pandas_reads_it(packed: Path) -> None:
    pandas = pytest.importorskip("pandas")
    for split in ("train", "val"):
        frame = pandas.read_parquet(packed / split)
        rows = expected_rows(packed, split)
        assert list(frame["key"]) == [row["key"] for row in rows]
        assert list(frame["label"]) == [row["label"] for row in rows]
        assert list(frame["is_fill"]) == [row["is_fill"] for row in rows]
        assert list(frame["caption"]) == [row["caption"] for row in rows]
        for image, mask, boxes, row in zip(frame["image"], frame["mask"], frame["object"], rows, strict=True):
            assert Image.open(io.BytesIO(image["bytes"])).size == (PX, PX)
            assert np.asarray(Image.open(io.BytesIO(mask["bytes"]))).max() == int(row["key"][:3]) + 1
            assert [number for box in boxes for number in box] == row["object"]


LOAD = """
import datasets, json, sys
files = {split: f"{sys.argv[1]}/{split}/*.parquet" for split in ("train", "val")}
loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=sys.argv[2])
names = [loaded["train"].features["label"].names, loaded["train"].features["object_class"].feature.names]
rows = {
    split: [
        [r["key"], r["label"], r["image"].size, r["mask"].size, r["object"], r["object_class"], r["caption"]]
        for r in loaded[split]
    ]
    for split in loaded
}
print(json.dumps([names, rows]))
"""


@pytest.mark.readers
def test_datasets_decodes_images_and_names_classes(packed: Path, tmp_path: Path) -> None:
    """In a process of its own, since tests have a module of that name."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    command = [sys.executable, "-c", LOAD, str(packed), str(tmp_path / "cache")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names, found = json.loads(done.stdout.splitlines()[-1])
    assert names == [list(NAMES), ["bee", "cat"]]
    for split in ("train", "val"):
        expected = [
            [row["key"], row["label"], [PX, PX], [PX, PX], nested(row["object"]), row["object_class"], row["caption"]]
            for row in expected_rows(packed, split)
        ]
        assert found[split] == expected


def nested(numbers: list[float]) -> list[list[float]]:
    return [numbers[at : at + 4] for at in range(0, len(numbers), 4)]


@pytest.mark.spark
@pytest.mark.slow
def test_spark_reads_it(packed: Path) -> None:
    with spark_session("local[1]") as session:
        for split in ("train", "val"):
            rows = expected_rows(packed, split)
            collected = session.read.parquet(str(packed / split)).collect()
            assert len(collected) == len(rows)
            found = {(row["key"], row["is_fill"]): row for row in collected}
            for row in rows:
                record = found[row["key"], row["is_fill"]]
                assert record["label"] == row["label"]
                assert Image.open(io.BytesIO(bytes(record["image"]["bytes"]))).size == (PX, PX)
                assert [number for box in record["object"] for number in box] == row["object"]


def test_a_copy_there_and_back_has_the_same_files(packed: Path, tmp_path: Path) -> None:
    """Masks too, which lie apart from their images."""
    for source, dest, container in ((packed, "there", "tfrecord"), (tmp_path / "there", "back", "parquet")):
        arguments = ["--gpus", "2", "--format", container, "--workers", "1", "--allow-fill"]
        assert run(["reshard", str(source), str(tmp_path / dest), *arguments]) == 0
        assert run(["verify", str(tmp_path / dest), "--decode", "--workers", "1"]) == 0
    shards = {key: digest for key, digest in digests(packed).items() if key.startswith(("train/", "val/"))}
    assert shards == {key: digests(tmp_path / "back")[key] for key in shards}
    first, second, third = map(read_manifest, (packed, tmp_path / "there", tmp_path / "back"))
    assert first.encoder_sha256 == third.encoder_sha256 != second.encoder_sha256


def test_the_loader_refuses_it_and_says_what_to_do(packed: Path) -> None:
    with pytest.raises(OptionsError, match=r"the loader reads records one by one, .* `format=tfrecord`"):
        packer.Loader(str(packed), "train", batch_size=2, image_px=PX, where="process")


def test_pipe_mode_refuses_it_and_says_what_to_do(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--instances", "1", "--gpus-per-instance", "2", "--mode", "Pipe", "--", "true"]
    assert run(["sagemaker-local", str(packed), *arguments]) == 2
    said = capsys.readouterr().err
    assert "Pipe mode reads records one by one" in said
    assert "--format tfrecord" in said


def test_names_that_records_have_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(image_bytes(1))
    (tmp_path / "list.jsonl").write_text(json.dumps({"path": "a.jpg", "image": "x"}))
    with pytest.raises(OptionsError, match=r"the column image: expected other names than those that each record has"):
        pack_small(tmp_path / "list.jsonl", tmp_path / "out", format="parquet", gpus=1, key_column="path")
    assert not (tmp_path / "out").exists()
