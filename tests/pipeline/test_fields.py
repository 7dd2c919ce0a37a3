"""Fields beside the label, the whole way: packed, moved with their pictures, in each container, copied, verified."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from packer.errors import OptionsError, SourceError
from packer.formats.example import decode_example
from packer.formats.tfrecord import CONTAINER as TFRECORD
from packer.reading.dataset import open_dataset
from packer.reading.read_spec import ReadSpec
from packer.reading.records import iter_samples
from packer.resharding import reshard
from packer.specs import FieldKind, FieldSpec
from packer.verifying import verify
from tests.sources.row_files import write_rows
from tests.tools.datasets import (
    SerialEngine,
    SilentProgress,
    image_bytes,
    make_options,
    pack_small,
    read_manifest,
    read_records,
)

NUM_IMAGES = 24
BOXES = [[20.0, 10.0, 40.0, 30.0], [0.0, 0.0, 5.0, 60.0], [50.0, 2.0, 64.0, 47.0]]
CLASSES = ["cat", "dog", "ant"]
FIELDS = (
    "object=boxes:bbox+category",
    "mask=mask:seg",
    "caption=text:words",
    "pose=points:joints",
    "other=image:second",
)


def mask_bytes(number, *, mode="L"):
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:40] = number % 7 + 1
    out = io.BytesIO()
    image = Image.fromarray(mask)
    if mode == "P":
        image.putpalette(range(256))
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette([value for value in range(256) for _ in range(3)])
    image.save(out, "PNG")
    return out.getvalue()


def row(number):
    """One row of the listing: boxes 0 to 2 of them."""
    count = number % 4
    return {
        "path": f"{number:03}.jpg",
        "label": number % 3,
        "bbox": BOXES[:count],
        "category": CLASSES[:count],
        "words": [f"picture {number}", "another"],
        "seg": f"masks/{number:03}.png",
        "joints": [32.0, 24.0, 0.0, 0.0],
        "second": f"second/{number:03}.jpg",
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    for name in ("masks", "second"):
        (folder / name).mkdir()
    for number in range(NUM_IMAGES):
        (folder / f"{number:03}.jpg").write_bytes(image_bytes(number, width=64, height=48))
        (folder / f"second/{number:03}.jpg").write_bytes(image_bytes(1000 + number, width=64, height=48))
        (folder / f"masks/{number:03}.png").write_bytes(mask_bytes(number, mode="P" if number % 2 else "L"))
    (folder / "list.jsonl").write_text("\n".join(json.dumps(row(number)) for number in range(NUM_IMAGES)))
    return folder


def pack_fields(source, dest, *, fields=FIELDS, listing="list.jsonl", **options):
    given = {"gpus": 2, "resize": "24x24", "encode": "png", "allow_fill": True, **options}
    return pack_small(source / listing if listing else source, dest, field=list(fields), **given)


def facts(dest):
    """What each record holds, by its key: label, columns and the bytes of all pictures."""
    found = {}
    for sample in iter_samples(open_dataset(str(dest)), "train", ReadSpec(shuffle_records=0), epoch=0):
        extras = {name: value if isinstance(value, tuple) else (value,) for name, value in sample.extras.items()}
        pictures = {name: picture.encoded for name, picture in sample.pictures.items()}
        found[sample.key] = (sample.label, extras, pictures, sample.encoded)
    return found


def problems(dest):
    return verify(str(dest), SerialEngine(), SilentProgress(), decode=True).faults


@pytest.fixture(scope="module")
def packed(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    for container in ("tfrecord", "webdataset"):
        pack_fields(source, folder / container, format=container)
    pack_fields(source, folder / "recordio", format="recordio", fields=(FIELDS[0],))
    return folder


def test_containers_hold_the_same_fields(packed):
    found = facts(packed / "tfrecord")
    assert found == facts(packed / "webdataset")
    label, extras, pictures, encoded = found["003.jpg"]
    # 48 of 64 columns are left, from the eighth on, at half their size.
    assert extras["object"] == (6.0, 5.0, 16.0, 15.0, 21.0, 1.0, 24.0, 23.5)
    assert extras["object_class"] == (1, 0)  # the second box lies outside
    assert (extras["pose"], extras["pose_visible"]) == ((12.0, 12.0, -4.0, 0.0), (1, 0))
    assert extras["caption"] == ("picture 3", "another")
    assert label == 0
    mask = np.asarray(Image.open(io.BytesIO(pictures["mask"])))
    expected = np.zeros((24, 24), np.uint8)
    expected[5:15, 6:16] = 4
    assert np.array_equal(mask, expected)
    assert Image.open(io.BytesIO(pictures["other"])).size == (24, 24)
    assert pictures["other"] != encoded


def test_the_manifest_and_the_tables_say_what_fields_are(packed):
    manifest = read_manifest(packed / "tfrecord")
    assert manifest.version == 2
    assert manifest.fields[0] == FieldSpec(name="object", kind=FieldKind.BOXES, class_names=("ant", "cat", "dog"))
    assert [spec.kind for spec in manifest.declared] == ["boxes", "mask", "text", "points", "image"]
    rows = {row["key"]: row for row in read_records(packed / "tfrecord", manifest.splits["train"].shards[0].key)}
    key = next(key for key in rows if int(key[:3]) % 4 == 3)
    assert rows[key]["object"] == [6.0, 5.0, 16.0, 15.0, 21.0, 1.0, 24.0, 23.5]
    assert rows[key]["mask"] == f"masks/{key[:3]}.png"


def test_tfrecord_has_the_names_of_the_object_detection_api(packed):
    manifest = read_manifest(packed / "tfrecord")
    data = memoryview((packed / "tfrecord" / manifest.splits["train"].shards[0].key).read_bytes())
    for record in TFRECORD.iter_buffer(data, name="shard"):
        features = decode_example(record.payload)
        if int(features["image/filename"][0][:3]) % 4 == 3:
            assert features["image/object/bbox/xmin"] == (0.25, 0.875)
            assert features["image/object/bbox/ymin"] == pytest.approx((5 / 24, 1 / 24))
            assert features["image/object/bbox/xmax"] == pytest.approx((16 / 24, 1.0))
            assert features["image/object/bbox/ymax"] == pytest.approx((15 / 24, 23.5 / 24))
            assert features["image/object/class/label"] == (1, 0)
            assert features["image/object/class/text"] == (b"cat", b"ant")
            assert features["image/pose/keypoint/x"] == pytest.approx((0.5, -4 / 24))
            assert features["image/pose/keypoint/visibility"] == (1, 0)
            assert features["image/mask/format"] == (b"png",)
            return
    raise AssertionError("no record with boxes")


def test_recordio_has_boxes_in_mxnets_layout(packed):
    for sample in iter_samples(open_dataset(str(packed / "recordio")), "train", ReadSpec(shuffle_records=0), epoch=0):
        assert sample.label[:2] == (2.0, 5.0)
        assert len(sample.label) in (7, 12)
    labels = {len(row["object"]) for row in read_records(packed / "recordio", "train/train-00000-of-00002.rec")}
    assert 0 in labels
    none = struct.pack("<5f", -1, 0, 0, 0, 0)
    assert none in (packed / "recordio/train/train-00000-of-00002.rec").read_bytes()


@pytest.mark.parametrize("container", ["tfrecord", "webdataset", "recordio"])
def test_verification_reads_fields_and_finds_nothing(packed, container):
    assert problems(packed / container) == ()


@pytest.mark.parametrize(("before", "after"), [("tfrecord", "webdataset"), ("webdataset", "tfrecord")])
def test_a_copy_in_another_container_is_what_packing_gives(packed, tmp_path, before, after):
    options = make_options(packed / before, tmp_path / "copy", format=after, gpus=2)
    reshard(options, engine=SerialEngine())
    shards = read_manifest(packed / after).splits["train"].shards
    assert read_manifest(tmp_path / "copy").splits["train"].shards == shards
    assert problems(tmp_path / "copy") == ()


def test_boxes_go_from_recordio_and_to_it_exactly(packed, tmp_path):
    reshard(make_options(packed / "recordio", tmp_path / "tf", format="tfrecord", gpus=2), engine=SerialEngine())
    reshard(make_options(tmp_path / "tf", tmp_path / "back", format="recordio", gpus=2), engine=SerialEngine())
    assert read_manifest(tmp_path / "back").splits == read_manifest(packed / "recordio").splits
    expected = {key: value[1]["object"] for key, value in facts(packed / "tfrecord").items()}
    assert {key: value[1]["object"] for key, value in facts(tmp_path / "tf").items()} == expected


def test_recordio_has_no_room_for_pictures(source, packed, tmp_path):
    with pytest.raises(OptionsError, match="no masks and no further images, got the field 'mask'"):
        pack_fields(source, tmp_path / "dest", format="recordio")
    options = make_options(packed / "tfrecord", tmp_path / "copy", format="recordio", gpus=2)
    with pytest.raises(OptionsError, match="no masks"):
        reshard(options, engine=SerialEngine())


def test_a_mask_of_another_size_is_a_reject(source, tmp_path):
    rows = [row(number) for number in range(NUM_IMAGES)]
    rows[0]["seg"] = "small.png"
    Image.new("L", (64, 47)).save(source / "small.png")
    (source / "wrong.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pack_fields(source, tmp_path / "dest", fields=FIELDS[1:2], listing="wrong.jsonl", max_rejects=0.1)
    (line,) = (tmp_path / "dest/meta/rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "field"
    assert "mask: expected a mask of the 64x48 pixels of its picture's file, got 64x47" in json.loads(line)["detail"]
    assert problems(tmp_path / "dest") == ()


def test_a_picture_that_is_to_be_turned_and_kept_is_a_reject(source, tmp_path):
    folder = tmp_path / "turned"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(4):
        Image.open(source / f"{number:03}.jpg").save(folder / f"{number}.jpg", exif=exif if number else Image.Exif())
    (folder / "list.jsonl").write_text("\n".join(json.dumps({"path": f"{n}.jpg", "b": BOXES[:1]}) for n in range(4)))
    given = {"resize": None, "encode": "keep", "fields": ("object=boxes:b",), "gpus": 1, "max_rejects": 0.9}
    pack_fields(folder, tmp_path / "dest", **given)
    lines = (tmp_path / "dest/meta/rejects.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert "expected an upright picture with `encode=keep`" in lines[0]
    pack_fields(folder, tmp_path / "upright", fields=("object=boxes:b",), gpus=1, resize="64x48", fit="contain")
    boxes = {
        row["key"]: row["object"] for row in read_records(tmp_path / "upright", "train/train-00000-of-00001.tfrecord")
    }
    # Turned by a quarter, then shrunk from 48x64 to 36x48 in the middle of 64x48.
    assert boxes["1.jpg"] == pytest.approx([14 + 18 * 0.75, 20 * 0.75, 14 + 38 * 0.75, 40 * 0.75])


def test_points_are_visible_where_a_row_does_not_say(source, tmp_path):
    rows = [row(number) | {"seen": [2, number % 2] if number % 3 else []} for number in range(NUM_IMAGES)]
    (source / "seen.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pack_fields(source, tmp_path / "dest", listing="seen.jsonl", fields=("pose=points:joints+seen",), encode="keep")
    found = {key: extras["pose_visible"] for key, (_, extras, *_) in facts(tmp_path / "dest").items()}
    inside = {0: (1, 0), 1: (2, 0), 2: (2, 0)}
    assert found == {f"{number:03}.jpg": inside[number % 3] for number in range(NUM_IMAGES)}


def test_rows_of_parquet_give_the_same(source, packed, tmp_path):
    columns = {name: [] for name in ("image", "label", "bbox", "category", "words", "seg", "joints", "second")}
    for number in range(NUM_IMAGES):
        values = row(number)
        for name, path in (("image", "path"), ("seg", "seg"), ("second", "second")):
            columns[name].append({"bytes": (source / values[path]).read_bytes(), "path": None})
        for name in ("label", "bbox", "category", "words", "joints"):
            columns[name].append(values[name])
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({n: pa.array(v, picture if n in ("image", "seg", "second") else None) for n, v in columns.items()})
    write_rows(table, tmp_path / "rows/data.parquet")
    fields = (*FIELDS,)
    pack_fields(tmp_path / "rows", tmp_path / "dest", listing="", fields=fields, key_column="image")
    expected = sorted(map(repr, facts(packed / "tfrecord").values()))
    assert sorted(map(repr, facts(tmp_path / "dest").values())) == expected


def test_a_webdataset_that_was_packed_is_a_source_again(packed, source, tmp_path):
    """Not resized again, boxes and pictures are as they were."""
    fields = (
        "object=boxes:object+object_class",
        "mask=mask:mask.png",
        "caption=text:caption",
        "pose=points:pose+pose_visible",
    )
    pack_fields(packed / "webdataset/train", tmp_path / "dest", listing="", fields=fields, encode="keep", resize=None)
    found = {value[3]: value[1]["object"] for value in facts(tmp_path / "dest").values()}
    assert found == {value[3]: value[1]["object"] for value in facts(packed / "webdataset").values()}
    masks = {value[3]: value[2]["mask"] for value in facts(tmp_path / "dest").values()}
    assert masks == {value[3]: value[2]["mask"] for value in facts(packed / "webdataset").values()}


@pytest.mark.parametrize("beside", ["../masks", "masks"])
def test_a_folder_of_masks_beside_a_folder_of_images(source, tmp_path, beside):
    images, masks = tmp_path / "set/images", tmp_path / "set/masks"
    images.mkdir(parents=True)
    masks.mkdir()
    for number in range(NUM_IMAGES):
        (images / f"{number:03}.jpg").write_bytes((source / f"{number:03}.jpg").read_bytes())
        (masks / f"{number:03}.png").write_bytes((source / f"masks/{number:03}.png").read_bytes())
    place = images if beside == "../masks" else tmp_path / "set"
    options = {"flat": True} if beside == "masks" else {}
    pack_fields(place, tmp_path / "dest", listing="", fields=(f"mask=mask:{beside}",), **options)
    found = facts(tmp_path / "dest")
    assert len(found) == NUM_IMAGES
    assert {np.asarray(Image.open(io.BytesIO(v[2]["mask"]))).max() for v in found.values()} == set(range(1, 8))
    (masks / "003.png").unlink()
    with pytest.raises(SourceError, match="1 have none: .*003.jpg"):
        pack_fields(place, tmp_path / "again", listing="", fields=(f"mask=mask:{beside}",), **options)


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ("object=boxes", "expected NAME=KIND:COLUMN"),
        ("Object=boxes:bbox", "expected NAME=KIND:COLUMN"),
        ("object=video:bbox", "one of the kinds text, image, boxes, mask, points"),
        ("caption=text:a+b", "a second column with boxes and points alone"),
        ("mask=mask-xywh:a", "-xywh with boxes alone"),
        ("object=boxes:nothing", "no column 'nothing'"),
        ("category=boxes:bbox", "has the name of a field's"),
        ("object=boxes:joints+category", "left, top, right, bottom"),
    ],
)
def test_a_wrong_declaration_is_refused(source, tmp_path, field, problem):
    with pytest.raises((OptionsError, SourceError), match=problem.replace("+", r"\+")) as caught:
        pack_fields(source, tmp_path / "dest", fields=(field,))
    assert caught.value.field == "field"


def test_a_name_twice_is_refused(source, tmp_path):
    with pytest.raises(OptionsError, match="each name once"):
        pack_fields(source, tmp_path / "dest", fields=("a=text:words", "a=text:path"))
