"""Parquet shards: what the Hub's readers are told, where pictures lie, groups of rows, and damage."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from packer.errors import CorruptRecordError, EncoderMismatchError, OptionsError
from packer.formats.container import ExtraValue, Picture, RecordSchema, Sample, ShardIndex
from packer.formats.parquet import CONTAINER
from packer.specs import FieldKind, FieldSpec

BOXES = FieldSpec(name="object", kind=FieldKind.BOXES, class_names=("cat", "dog"))
POINTS = FieldSpec(name="pose", kind=FieldKind.POINTS)
MASK = FieldSpec(name="mask", kind=FieldKind.MASK)
SCHEMA = RecordSchema(
    label_kind="class",
    num_classes=4,
    class_names=("ant", "", "bee"),
    columns=pa.schema(
        [
            ("object", pa.large_list(pa.float32())),
            ("object_class", pa.list_(pa.int64())),
            ("pose", pa.list_(pa.float32())),
            ("pose_visible", pa.list_(pa.int64())),
            ("caption", pa.large_string()),
            ("x", pa.float64()),
        ]
    ),
    fields=(BOXES, POINTS, MASK),
)


def make_sample(number: int) -> Sample:
    noise = np.random.default_rng(number).bytes(700 + 13 * number)
    extras: dict[str, ExtraValue] = {
        "object": (1.0, 2.0, 3.0, 4.5) * (number % 3),
        "object_class": (number % 2,) * (number % 3),
        "pose": (0.5, 1.5, 2.5, 3.5),
        "pose_visible": (1, 0),
        "x": number / 7,
    }
    if number % 5:
        extras["caption"] = f"Bild {number} “é”"
    return Sample(
        key=f"k/{number}.jpg",
        encoded=b"\xff\xd8\xff" + noise,
        image_format="jpeg",
        label=number % 4,
        class_text=("ant", "1", "bee", "3")[number % 4],
        source_sha256=f"{number:064x}",
        extras=extras,
        pictures={"mask": Picture(b"\x89PNG\r\n\x1a\n" + noise[:90], "png")},
    )


def write(samples: list[Sample], fills: tuple[int, ...] = ()) -> tuple[bytes, ShardIndex]:
    writer = CONTAINER.open_writer("train", 0, SCHEMA)
    for position, sample in enumerate(samples):
        writer.add(sample, position)
    for position, index in enumerate(fills, len(samples)):
        writer.repeat(index, position)
    data = b"".join(writer.finish())
    return data, ShardIndex(content=writer.index(), num_bytes=len(data), name="f.idx")


def test_pages_that_are_laid_out_another_way_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packer.formats.parquet._LENGTH_BYTES", 5)
    with pytest.raises(EncoderMismatchError, match=r"^k/0\.jpg: expected its image at byte \d+ of the shard"):
        write([make_sample(number) for number in range(3)])


def test_all_is_read_back_whatever_the_fields() -> None:
    samples = [make_sample(number) for number in range(250)]
    data, _ = write(samples)
    assert [record.payload for record in CONTAINER.iter_buffer(memoryview(data), name="f")] == samples
    assert pq.ParquetFile(io.BytesIO(data)).metadata.num_row_groups == 3


def test_each_picture_lies_where_the_index_says() -> None:
    samples = [make_sample(number) for number in range(130)]
    data, index = write(samples, fills=(7,))
    places = CONTAINER.record_places(index)
    for position, sample in enumerate([*samples, samples[7]]):
        image, mask = (data[at : at + size] for at, size in places.spans_of(position))
        found = CONTAINER.decode_record(image, pictures={"mask": mask})
        assert (found.encoded, found.pictures, found.image_format) == (sample.encoded, sample.pictures, "jpeg")


def test_groups_of_rows_are_bounded_in_bytes_too() -> None:
    large = [Sample(key="k", encoded=bytes([n]) * 6_000_000, image_format="jpeg", label=0) for n in range(1, 6)]
    writer = CONTAINER.open_writer("train", 0, RecordSchema(label_kind="class", num_classes=1))
    for position, sample in enumerate(large):
        writer.add(sample, position)
    data = b"".join(writer.finish())
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [2, 2, 1]


def test_fills_are_marked() -> None:
    data, _ = write([make_sample(0), make_sample(1)], fills=(1, 0))
    table = pq.read_table(io.BytesIO(data))
    assert table.column("is_fill").to_pylist() == [False, False, True, True]
    assert table.column("key").to_pylist() == ["k/0.jpg", "k/1.jpg", "k/1.jpg", "k/0.jpg"]


def test_features_are_those_that_the_hub_knows() -> None:
    data, _ = write([make_sample(1)])
    schema = pq.read_schema(io.BytesIO(data))
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["image"] == features["mask"] == {"_type": "Image"}
    assert features["label"] == {"names": ["ant", "1", "bee", "3"], "_type": "ClassLabel"}
    assert features["object_class"]["feature"] == {"names": ["cat", "dog"], "_type": "ClassLabel"}
    assert features["object"]["feature"]["feature"] == {"dtype": "float32", "_type": "Value"}
    assert (features["x"]["dtype"], features["caption"]["dtype"]) == ("float64", "string")
    assert schema.field("object").type == pa.list_(pa.list_(pa.float32()))


def test_classes_of_one_name_are_numbers() -> None:
    schema = RecordSchema(label_kind="class", num_classes=2, class_names=("a", "a"))
    writer = CONTAINER.open_writer("train", 0, schema)
    writer.add(Sample(key="k", encoded=b"x", image_format="", label=1), 0)
    metadata = pq.read_schema(pa.BufferReader(b"".join(writer.finish()))).metadata
    features = json.loads(metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"dtype": "int64", "_type": "Value"}


@pytest.mark.parametrize("name", ["image", "is_fill"])
def test_names_of_its_own_are_refused(name: str) -> None:
    writer = CONTAINER.open_writer("train", 0, SCHEMA)
    with pytest.raises(OptionsError, match="expected other columns than image, label, key"):
        writer.add(Sample(key="k", encoded=b"x", image_format="", extras={name: 1}), 0)


def test_a_bit_that_turned_is_found() -> None:
    data, index = write([make_sample(number) for number in range(20)])
    places = CONTAINER.record_places(index)
    harmed = bytearray(data)
    harmed[places.offsets_bytes[11] + 40] ^= 4
    with pytest.raises(CorruptRecordError, match="the file is damaged"):
        list(CONTAINER.iter_buffer(memoryview(bytes(harmed)), name="f"))
    assert len(list(CONTAINER.iter_buffer(memoryview(bytes(harmed)), name="f", check=False))) == 20


def test_a_row_without_an_image_is_named() -> None:
    data, _ = write([make_sample(3)])
    table = pq.read_table(io.BytesIO(data))
    empty = pa.array([{"bytes": None, "path": "p"}], table.schema.field("image").type)
    sink = io.BytesIO()
    pq.write_table(table.set_column(0, table.schema.field("image"), empty), sink, compression="none")
    with pytest.raises(CorruptRecordError, match=r"expected an image in the row of k/3\.jpg, got none"):
        list(CONTAINER.iter_buffer(memoryview(sink.getvalue()), name="f"))
