"""What every container promises, whatever it is: a shard that was written is read back, whole, streamed and by record.

A new container is tested by its name in FormatName alone.
"""

import io
import itertools
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import CorruptRecordError
from packer.formats.container import Container, Record, RecordPlaces, RecordSchema, Sample, ShardIndex
from packer.formats.registry import get_format
from packer.planning.layout import index_key, side_key
from packer.specs import FormatName

EVERY = pytest.mark.parametrize("container", list(map(get_format, FormatName)), ids=lambda container: container.name)
STREAMED = pytest.mark.parametrize(
    "container",
    [container for container in map(get_format, FormatName) if container.is_streamed],
    ids=lambda container: container.name,
)
COLUMNS = pa.schema([("caption", pa.large_string()), ("year", pa.int64()), ("x", pa.list_(pa.float64()))])
LABELS = {
    "none": st.none(),
    "class": st.integers(0, 1 << 24),
    "floats": st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=4).map(tuple),
}


def samples_of(label_kind: str) -> st.SearchStrategy[list[Sample]]:
    sample = st.builds(
        Sample,
        key=st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=20),
        encoded=st.binary(min_size=1, max_size=1500),
        image_format=st.sampled_from(["jpeg", "png", "webp"]),
        height=st.integers(1, 500),
        width=st.integers(1, 500),
        channels=st.sampled_from([1, 3, 4]),
        label=LABELS[label_kind],
        class_text=st.text(st.characters(codec="utf-8", categories=["L"]), max_size=5),
        source_sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
        extras=st.fixed_dictionaries({}, optional={"caption": st.text(max_size=5), "year": st.integers(0, 99)}),
    )
    return st.lists(sample, max_size=5)


samples = st.sampled_from(list(LABELS)).flatmap(samples_of)


def schema_of(added: list[Sample]) -> RecordSchema:
    labels = [sample.label for sample in added]
    kinds = {int: "class", tuple: "floats", type(None): "none"}
    return RecordSchema(label_kind=kinds[type(labels[0])] if labels else "none", columns=COLUMNS)


def write(
    container: Container, added: list[Sample], fills: Sequence[int] = (), shard_index: int = 0
) -> tuple[bytes, list]:
    """Return a shard and the sizes of its records, those of `fills` repeated at its end."""
    writer = container.open_writer("train", shard_index, schema_of(added))
    sizes = [writer.add(sample, position) for position, sample in enumerate(added)]
    sizes += [writer.repeat(index, position) for position, index in enumerate(fills, len(added))]
    expected = writer.num_bytes
    data = b"".join(writer.finish())
    assert writer.num_bytes == len(data) <= expected
    if container.is_streamed:
        assert len(data) == expected == sum(sizes) + container.mark_bytes
    return data, sizes


def places(container: Container, added: list[Sample], fills: Sequence[int] = ()) -> RecordPlaces:
    writer = container.open_writer("train", 0, schema_of(added))
    for position, sample in enumerate(added):
        writer.add(sample, position)
    for position, index in enumerate(fills, len(added)):
        writer.repeat(index, position)
    writer.finish()
    return container.record_places(ShardIndex(content=writer.index(), num_bytes=writer.num_bytes, name="f.idx"))


def spans(records: list[Record]) -> list[tuple[int, int, int]]:
    return [(record.index, record.offset_bytes, record.num_bytes) for record in records]


def same(found: Sample, expected: Sample) -> bool:
    """Compare what the container says it holds; what it holds, it holds exactly."""
    return (found.encoded, found.label) == (expected.encoded, expected.label) and (
        not found.key or found == expected or (found.key, found.extras) == (expected.key, expected.extras)
    )


def same_alone(container: Container, found: Sample, expected: Sample) -> bool:
    """Compare a record that was read by itself, which may be its picture alone."""
    return same(found, expected) if container.is_streamed else found.encoded == expected.encoded


@EVERY
@given(samples, st.data())
def test_what_was_added_is_read_back(container: Container, added: list[Sample], data: st.DataObject) -> None:
    fills = data.draw(st.lists(st.integers(0, len(added) - 1), max_size=3)) if added else []
    content, sizes = write(container, added, fills)
    records = list(container.iter_buffer(memoryview(content), name="f"))
    where = places(container, added, fills)
    assert spans(records) == [
        (i, at, size) for i, (at, size) in enumerate(zip(where.offsets_bytes, sizes, strict=True))
    ]
    assert spans(list(container.iter_stream(io.BytesIO(content), name="f"))) == spans(records)
    for record, expected in zip(records, [*added, *(added[index] for index in fills)], strict=True):
        assert same(container.decode_sample(record.payload), expected)
        ((start, size),) = where.spans_of(record.index)
        alone = content[start : start + size]
        assert same_alone(container, container.decode_record(alone), expected)
        assert container.decode_record(memoryview(alone)) == container.decode_record(alone)


@STREAMED
@given(samples, samples)
def test_shards_in_one_stream_follow_one_another(container: Container, first: list[Sample], then: list[Sample]) -> None:
    one, sizes = write(container, first)
    two, more_sizes = write(container, then, shard_index=1)
    records = list(container.iter_stream(io.BytesIO(one + two), name="fifo"))
    assert [record.num_bytes for record in records] == [*sizes, *more_sizes]
    if then:
        assert records[len(first)].offset_bytes == len(one)
    assert all(same(container.decode_sample(r.payload), s) for r, s in zip(records, [*first, *then], strict=True))


SAMPLE = Sample(key="a/b.jpg", encoded=b"\xff\xd8\xff" + bytes(range(256)) * 3, image_format="jpeg", label=7)


@EVERY
def test_the_same_samples_give_the_same_bytes_and_index(container: Container) -> None:
    writers = [container.open_writer("val", 3, schema_of([SAMPLE])) for _ in range(2)]
    for writer, position in itertools.product(writers, range(3)):
        writer.add(SAMPLE, position)
    assert b"".join(writers[0].finish()) == b"".join(writers[1].finish())
    assert writers[0].index() == writers[1].index()
    assert writers[0].index().endswith(b"\n")


@STREAMED
def test_a_cut_or_longer_record_is_refused_with_its_place(container: Container) -> None:
    content, (size, *_) = write(container, [SAMPLE, SAMPLE])
    for wrong in (b"", content[: size - 1], content[: size + 1], content[: 2 * size], content[8:size]):
        with pytest.raises(CorruptRecordError, match=r"^s3://b/f: record 5 at byte 1,234: "):
            container.decode_record(wrong, name="s3://b/f", record_index=5, offset_bytes=1234)
    assert same(container.decode_record(content[:size]), SAMPLE)


@EVERY
def test_a_shard_that_is_cut_is_named(container: Container) -> None:
    content, _ = write(container, [SAMPLE] * 3)
    for cut in (0, 1, 40, len(content) // 2, len(content) - 1):
        found, fault = [], ""
        try:
            found = list(container.iter_buffer(memoryview(content)[:cut], name="f"))
        except CorruptRecordError as error:
            fault = str(error)
        assert "cut short" in fault or (cut == 0 and not found and container.is_streamed)


@STREAMED
def test_a_shard_that_is_cut_gives_no_more_than_the_whole_records_before_the_cut(container: Container) -> None:
    content, sizes = write(container, [SAMPLE] * 3)
    ends = list(itertools.accumulate(sizes))
    for cut in (1, 40, sizes[0] - 1, sizes[0] + 1, ends[1] + 9, ends[2] - 1):
        found: list[Record] = []
        with pytest.raises(CorruptRecordError, match="cut short") as caught:
            found.extend(container.iter_buffer(memoryview(content)[:cut], name="f"))
        whole = sum(end <= cut for end in ends)
        assert len(found) == caught.value.record_index <= whole
        assert all(container.decode_sample(record.payload).encoded == SAMPLE.encoded for record in found)


@EVERY
def test_files_beside_a_shard_have_the_suffixes_that_are_promised(container: Container) -> None:
    files = container.side_files(["a.jpg", "b.jpg"], [3, None])
    assert tuple(files) == container.side_suffixes
    assert index_key("train", "s") not in {side_key("train", "s", suffix) for suffix in files}


@STREAMED
@given(samples)
def test_an_index_tells_where_records_begin_that_follow_one_another(container: Container, added: list[Sample]) -> None:
    _, sizes = write(container, added)
    found = places(container, added)
    assert (list(found.offsets_bytes), list(found.sizes_bytes)) == ([0, *itertools.accumulate(sizes)][:-1], sizes)


@EVERY
def test_an_index_that_makes_no_sense_is_named(container: Container) -> None:
    index = ShardIndex(content=b"v1.2 1\nno index\n", num_bytes=100, name="f.idx")
    with pytest.raises(CorruptRecordError, match=r"f\.idx"):
        container.record_places(index)
