"""MSCOCO annotations as a source: boxes, masks, captions and classes of what the file says."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from packer.errors import SourceError
from packer.reading.dataset import open_dataset
from packer.reading.read_spec import ReadSpec
from packer.reading.records import iter_samples
from packer.verifying import verify
from tests.tools.datasets import SerialEngine, SilentProgress, image_bytes, pack_small, read_manifest

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]


def annotation(image, category, box, **more):
    x, y, wide, high = box
    polygon = [x, y, x + wide, y, x + wide, y + high, x, y + high]
    given = {"image_id": image, "category_id": category, "bbox": box, "segmentation": [polygon], "area": wide * high}
    return given | more


def document(**changes):
    """Four pictures; the second has a small box before a large one, the third a crowd, the fourth nothing."""
    found = {
        "info": {"year": 2017},
        "images": [{"id": 10 + number, "file_name": f"{number}.jpg", "width": 64, "height": 48} for number in range(4)],
        "annotations": [
            annotation(10, 18, [8, 8, 16, 8]),
            annotation(11, 3, [10, 10, 4, 4]),
            annotation(11, 18, [4, 4, 32, 32]),
            annotation(12, 3, [0, 0, 64, 48], iscrowd=1, segmentation={"size": [48, 64], "counts": [48, 96, 2928]}),
            {"image_id": 10, "caption": "a dog"},
            {"image_id": 10, "caption": "one more"},
        ],
        "categories": CATEGORIES,
    }
    return found | changes


@pytest.fixture
def source(tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        (tmp_path / f"pictures/{number}.jpg").write_bytes(image_bytes(number, width=64, height=48))
    return tmp_path


def pack(source, content=None, **options):
    (source / "annotations.json").write_text(json.dumps(document() if content is None else content))
    given = {"root": str(source / "pictures"), "gpus": 1, "resize": "64x48", **options}
    pack_small(source / "annotations.json", source / "dest", **given)
    dataset = open_dataset(str(source / "dest"))
    assert verify(str(source / "dest"), SerialEngine(), SilentProgress(), decode=True).faults == ()
    return {sample.key: sample for sample in iter_samples(dataset, "train", ReadSpec(shuffle_records=0), epoch=0)}


def test_boxes_and_captions_are_fields_by_themselves(source):
    found = pack(source)
    assert {key: sample.extras["object"] for key, sample in found.items()} == {
        "0.jpg": (8, 8, 24, 16),
        "1.jpg": (10, 10, 14, 14, 4, 4, 36, 36),
        "2.jpg": (),
        "3.jpg": (),
    }
    assert found["1.jpg"].extras["object_class"] == (0, 1)
    assert found["0.jpg"].extras["caption"] == ("a dog", "one more")
    assert found["0.jpg"].extras["image_id"] == 10
    assert found["0.jpg"].label is None
    assert [(spec.name, spec.class_names) for spec in read_manifest(source / "dest").fields] == [
        ("object", ("car", "dog")),
        ("caption", ()),
    ]


@pytest.mark.parametrize("container", ["tfrecord", "webdataset"])
def test_masks_are_drawn_of_polygons_and_runs(source, container):
    found = pack(source, field=["mask=mask:segmentation"], format=container)
    masks = {k: np.asarray(Image.open(io.BytesIO(s.pictures["mask"].encoded))) for k, s in found.items()}
    expected = np.zeros((48, 64), np.uint8)
    expected[4:36, 4:36] = 2
    expected[10:14, 10:14] = 1  # the smaller one lies over the larger one
    assert np.array_equal(masks["1.jpg"], expected)
    assert np.array_equal(masks["2.jpg"], np.repeat([[0] * 1 + [1] * 2 + [0] * 61], 48, axis=0))
    assert not masks["3.jpg"].any()
    assert "object" not in found["1.jpg"].extras


def test_an_interrupted_run_draws_the_same(source):
    pack(source, field=["mask=mask:segmentation"])
    before = (source / "dest/train/train-00000-of-00001.tfrecord").read_bytes()
    (source / "dest/manifest.json").unlink()
    pack_small(
        source / "annotations.json",
        source / "dest",
        root=str(source / "pictures"),
        gpus=1,
        resize="64x48",
        field=["mask=mask:segmentation"],
        resume=True,
    )
    assert (source / "dest/train/train-00000-of-00001.tfrecord").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "options", "problem"),
    [
        ({"images": []}, {}, "nothing in it: expected images"),
        ({"images": [{"id": 1}]}, {}, "expected MSCOCO annotations"),
        ({"annotations": [annotation(99, 3, [0, 0, 1, 1])]}, {}, "annotation 0 is of the image 99, which is not there"),
        ({"annotations": [annotation(10, 4, [0, 0, 1, 1])]}, {}, "annotation 0 has the category 4, which is not there"),
        ({"annotations": [annotation(10, 3, [0, 0, -1, 1])]}, {}, "has the box"),
        ({}, {"field": ["object=boxes:box"]}, "expected one of boxes:bbox, mask:segmentation, text:caption"),
        ({}, {"root": "/nowhere"}, "cannot be read as a folder"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(source, changes, options, problem):
    with pytest.raises(SourceError, match=problem) as caught:
        pack(source, document(**changes), **options)
    assert "\n" not in str(caught.value)


def test_a_shape_of_another_size_is_a_reject(source):
    wrong = annotation(10, 3, [0, 0, 4, 4], segmentation={"size": [48, 63], "counts": [48 * 63]})
    pack(source, document(annotations=[wrong]), field=["mask=mask:segmentation"], max_rejects=0.5)
    (line,) = (source / "dest/meta/rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "field"
    assert "for a picture of 64x48" in json.loads(line)["detail"]
