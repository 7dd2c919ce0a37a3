"""Whatever the pictures came from and whatever they are packed to: the same bytes, labels and fields."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from packer.reading.dataset import open_dataset
from packer.reading.read_spec import ReadSpec
from packer.reading.records import iter_samples
from packer.specs import FormatName
from tests.sources.row_files import write_rows
from tests.tools.datasets import image_bytes, pack_small, read_manifest, read_records

pytestmark = pytest.mark.slow

NUM_IMAGES = 18
WITH_FIELDS = ("listing", "parquet rows", "arrow rows", "webdataset", "coco")
"""Sources that have boxes."""
WITHOUT_FIELDS = ("folder", "tar", "zip", "csv", "lst")


def boxes_of(number):
    return [[4 + number, 2, 40, 30], [0, 10, 30, 44]][: number % 3]


def classes_of(number):
    return [number % 2, 1][: number % 3]


@pytest.fixture(scope="module")
def pictures():
    return {f"c{number % 3}/{number:03}.jpg": image_bytes(number, width=64, height=48) for number in range(NUM_IMAGES)}


def write_files(folder, pictures):
    for name, content in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def labels(pictures):
    return [int(name[1]) for name in pictures]


def make(kind, folder, pictures):
    """Write the pictures as a source of a kind; return it, and the options that it needs."""
    numbers = range(NUM_IMAGES)
    fields = ["object=boxes:boxes+classes"]
    if kind == "folder":
        return write_files(folder, pictures), {}
    if kind in ("tar", "zip"):
        path = folder / f"set.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in pictures.items():
                    archive.writestr(name, content)
            return path, {}
        with tarfile.open(path, "w") as archive:
            for name, content in pictures.items():
                add(archive, name, content)
        return path, {}
    if kind in ("csv", "lst", "listing"):
        write_files(folder, pictures)
        rows = list(zip(numbers, labels(pictures), pictures, strict=True))
        if kind == "csv":
            (folder / "set.csv").write_text("\n".join(["path,label", *(f"{name},{label}" for _, label, name in rows)]))
            return folder / "set.csv", {}
        if kind == "lst":
            (folder / "set.lst").write_text("".join(f"{number}\t{label}\t{name}\n" for number, label, name in rows))
            return folder / "set.lst", {}
        found = [
            {"path": name, "label": label, "boxes": boxes_of(number), "classes": classes_of(number)}
            for number, label, name in rows
        ]
        (folder / "set.jsonl").write_text("\n".join(map(json.dumps, found)))
        return folder / "set.jsonl", {"field": fields}
    if kind in ("parquet rows", "arrow rows"):
        table = pa.table(
            {
                "image": pa.array([{"bytes": content, "path": None} for content in pictures.values()]),
                "label": labels(pictures),
                "boxes": pa.array([boxes_of(number) for number in numbers]),
                "classes": pa.array([classes_of(number) for number in numbers], pa.list_(pa.int64())),
            }
        )
        write_rows(table, folder / f"rows/set.{kind.split()[0]}")
        return folder / "rows", {"field": fields}
    if kind == "webdataset":
        with tarfile.open(folder / "set.tar", "w") as archive:
            for number, (name, content) in enumerate(pictures.items()):
                add(archive, f"{number:04}.jpg", content)
                add(archive, f"{number:04}.cls", name[1].encode())
                content = json.dumps({"boxes": boxes_of(number), "classes": classes_of(number)}).encode()
                add(archive, f"{number:04}.json", content)
        return folder / "set.tar", {"field": fields}
    write_files(folder, pictures)
    images = [{"id": number, "file_name": name} for number, name in enumerate(pictures)]
    annotations = [
        {"image_id": number, "category_id": 7 + class_id, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for number in numbers
        for (x0, y0, x1, y1), class_id in zip(boxes_of(number), classes_of(number), strict=True)
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 7}, {"id": 8}]}
    (folder / "coco.json").write_text(json.dumps(document))
    return folder / "coco.json", {}


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def pack_as(source, dest, container, **options):
    pack_small(source, dest, format=container, resize="24x24", gpus=2, allow_fill=True, **options)
    rows = []
    for shard in read_manifest(dest).splits["train"].shards:
        rows += read_records(dest, shard.key)
    found = iter_samples(open_dataset(str(dest)), "train", ReadSpec(shuffle_records=0), epoch=0)
    samples = {}
    for sample in found:
        samples.setdefault(sample.encoded, sample)
    return rows, samples


@pytest.fixture(scope="module")
def expected(pictures, tmp_path_factory):
    """By the digest of the source: label and boxes of the first kind of source in the first container."""
    folder = tmp_path_factory.mktemp("expected")
    (folder / "source").mkdir()
    source, options = make("listing", folder / "source", pictures)
    rows, samples = pack_as(source, folder / "dest", FormatName.TFRECORD, **options)
    facts = {row["source_sha256"]: (row["label"], row["object"], row["object_class"]) for row in rows}
    assert len(facts) == NUM_IMAGES
    return facts, {encoded: sample.extras.get("object", ()) for encoded, sample in samples.items()}


@pytest.mark.parametrize("container", list(FormatName))
@pytest.mark.parametrize("kind", WITH_FIELDS + WITHOUT_FIELDS)
def test_the_same_bytes_labels_and_fields(kind, container, pictures, expected, tmp_path):
    (tmp_path / "source").mkdir()
    source, options = make(kind, tmp_path / "source", pictures)
    rows, samples = pack_as(source, tmp_path / "dest", container, **options)
    facts, images = expected
    assert set(samples) == set(images)  # the bytes of each picture
    for row in rows:
        label, boxes, classes = facts[row["source_sha256"]]
        if kind != "coco":
            assert row["label"] == label
        if kind in WITH_FIELDS:
            assert (row["object"], row["object_class"]) == (boxes, classes)
    if kind not in WITH_FIELDS:
        return
    for encoded, sample in samples.items():
        if container is FormatName.RECORDIO:
            found = np.array(sample.label[2:]).reshape(-1, 5)
            assert np.allclose(found[found[:, 0] >= 0][:, 1:].ravel() * 24, images[encoded], atol=1e-4)
        else:
            assert sample.extras["object"] == images[encoded]


def test_pictures_differ(pictures):
    assert len(set(pictures.values())) == NUM_IMAGES
    assert Image.open(io.BytesIO(next(iter(pictures.values())))).size == (64, 48)
