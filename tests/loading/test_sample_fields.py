"""Fields in batches: cut and mirrored as the picture that they belong to."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import packer
from packer.errors import OptionsError
from tests.tools.datasets import pack_small

WIDTH, HEIGHT, PX = 96, 64, 48
FIELDS = ("object=boxes:boxes+classes", "mask=mask:mask", "caption=text:text", "pose=points:points", "again=image:same")


def write_source(folder):
    """Pictures whose colours say where a pixel lies, with a mask that says the same; a box, and its four corners."""
    xs, ys = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    picture = np.stack([xs * 2, ys * 3, np.zeros_like(xs)], axis=2).astype(np.uint8)
    mask = (xs // 8 + 16 * (ys // 8)).astype(np.uint8)
    rows = []
    for number in range(12):
        picture[:, :, 2] = number
        Image.fromarray(picture).save(folder / f"{number}.png")
        Image.fromarray(mask).save(folder / f"{number}-mask.png")
        left, top = 4 * number, 2 * number
        box = [left, top, left + 40, top + 30]
        corners = [left, top, left + 40, top, left, top + 30, left + 40, top + 30]
        boxes = [box, [0, 0, 2, 2]] if number else []
        text = f"picture {number}"
        row = {"boxes": boxes, "classes": [5, 7][: len(boxes)], "points": corners, "text": text, "label": number}
        rows.append({"path": f"{number}.png", "same": f"{number}.png", "mask": f"{number}-mask.png", **row})
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "list.jsonl"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    listing = write_source(folder)
    options = {"resize": None, "encode": "keep", "gpus": 1, "split": "train=1/2,val=1/2"}
    for container in ("tfrecord", "webdataset", "recordio"):
        fields = FIELDS[:1] if container == "recordio" else FIELDS
        pack_small(listing, folder / container, format=container, field=list(fields), **options)
    return folder


def batches(packed, split="train", *, container="tfrecord", count=3, **options):
    given = {"batch_size": 3, "image_px": PX, "where": "process", "threads": 2, **options}
    with packer.Loader(str(packed / container), split, **given) as loader:
        return [batch for batch, _ in zip(loader, range(count), strict=False)]


def check_sample(batch, index):
    """Held against the pixels of the image itself, which say where in the source they were."""
    image = batch.images[index].astype(int)
    xs, ys = image[:, :, 0] / 2, image[:, :, 1] / 3
    mask = batch.fields["mask"][index]
    columns, rows = mask % 16, mask // 16
    # A pixel is mixed of its neighbours, and the mask takes the one below its middle.
    assert (abs(columns * 8 + 4 - (xs + 0.5)) <= 4 + 2.5).all()
    assert (abs(rows * 8 + 4 - (ys + 0.5)) <= 4 + 2.5).all()
    number = batch.labels[index]
    left, top = 4 * number, 2 * number
    boxes = batch.fields["object"][index]
    if number and len(boxes.classes) and boxes.classes[0] == 5:
        inside = (xs + 0.5 > left + 2) & (xs + 0.5 < left + 38) & (ys + 0.5 > top + 2) & (ys + 0.5 < top + 28)
        found = np.zeros_like(inside)
        x0, y0, x1, y1 = boxes.corners[0]
        found[int(np.floor(y0)) : int(np.ceil(y1)), int(np.floor(x0)) : int(np.ceil(x1))] = True
        assert not (inside & ~found).any()
        around = (xs + 0.5 < left - 2) | (xs + 0.5 > left + 42) | (ys + 0.5 < top - 2) | (ys + 0.5 > top + 32)
        sure = np.zeros_like(inside)
        sure[int(np.ceil(y0)) : int(np.floor(y1)), int(np.ceil(x0)) : int(np.floor(x1))] = True
        assert not (around & sure).any()
    points = batch.fields["pose"][index]
    assert points.places.shape == (4, 2)
    is_inside = ((points.places >= 0) & (points.places <= PX)).all(axis=1)
    assert points.visible.tolist() == is_inside.astype(int).tolist()


@pytest.mark.parametrize("container", ["tfrecord", "webdataset"])
def test_fields_are_cut_and_mirrored_as_pixels(packed, container):
    mirrored = 0
    for batch in batches(packed, container=container, count=12):
        for index in range(3):
            check_sample(batch, index)
            mirrored += int(batch.images[index, PX // 2, 0, 0] > batch.images[index, PX // 2, -1, 0])
            assert np.array_equal(batch.fields["again"][index], batch.images[index])
            assert batch.fields["caption"][index] == f"picture {batch.labels[index]}"
    assert 5 < mirrored < 31


def test_an_evaluation_batch_has_nothing_behind_its_last_sample(packed):
    (first, last) = batches(packed, "val", batch_size=4, count=9)
    assert (first.num_samples, last.num_samples) == (4, 2)
    assert len(last.fields["object"]) == 2
    assert last.fields["mask"].shape == (4, PX, PX)
    assert last.fields["mask"].dtype == np.int32
    assert not last.fields["mask"][2:].any()
    assert not last.fields["again"][2:].any()
    for index in range(4):
        check_sample(first, index)


def test_a_process_beside_gives_the_same(packed):
    for ours, theirs in zip(batches(packed), batches(packed, where="subprocess"), strict=True):
        assert np.array_equal(ours.fields["mask"], theirs.fields["mask"])
        assert ours.fields["caption"] == theirs.fields["caption"]
        for one, other in zip(ours.fields["object"], theirs.fields["object"], strict=True):
            assert (one.corners.dtype, one.classes.dtype) == (np.float32, np.int64)
            assert np.array_equal(one.corners, other.corners)
            assert np.array_equal(one.classes, other.classes)


def test_recordio_gives_its_boxes(packed):
    for ours, theirs in zip(batches(packed), batches(packed, container="recordio"), strict=True):
        assert list(theirs.fields) == ["object"]
        assert (theirs.labels == -1).all()
        assert np.array_equal(ours.images, theirs.images)
        for one, other in zip(ours.fields["object"], theirs.fields["object"], strict=True):
            assert np.allclose(one.corners, other.corners, atol=1e-4)
            assert np.array_equal(one.classes, other.classes)


def test_fields_can_be_chosen(packed):
    (batch, *_) = batches(packed, fields=("caption",))
    assert list(batch.fields) == ["caption"]
    (batch, *_) = batches(packed, fields=())
    assert batch.fields == {}
    with pytest.raises(OptionsError, match="fields: expected some of object, mask, caption, pose, again"):
        batches(packed, fields=("boxes",))
