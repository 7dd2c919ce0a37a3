"""What every container promises, whatever it is: a shard that was written is read back, whole, streamed and by record.

A new container is tested by its name in FormatName alone.
"""

import io
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import CorruptRecordError
from packer.formats.container import Container, Record, Sample, ShardIndex
from packer.formats.registry import get_format
from packer.planning.layout import index_key, side_key
from packer.specs import FormatName

EVERY = pytest.mark.parametrize("container", list(map(get_format, FormatName)), ids=lambda container: container.name)

samples = st.lists(
    st.builds(
        Sample,
        key=st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=20),
        encoded=st.binary(min_size=1, max_size=1500),
        image_format=st.sampled_from(["jpeg", "png", "webp"]),
        height=st.integers(1, 500),
        width=st.integers(1, 500),
        channels=st.sampled_from([1, 3, 4]),
        label=st.none()
        | st.integers(0, 1 << 24)
        | st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=4).map(tuple),
        class_text=st.text(st.characters(codec="utf-8", categories=["L"]), max_size=5),
        source_sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
        extras=st.dictionaries(st.sampled_from(["caption", "year"]), st.text(max_size=5) | st.integers(0, 99)),
    ),
    max_size=5,
)


def write(
    container: Container, added: list[Sample], fills: Sequence[int] = (), shard_index: int = 0
) -> tuple[bytes, list]:
    """Return a shard and the sizes of its records, those of `fills` repeated at its end."""
    writer = container.open_writer("train", shard_index)
    sizes = [writer.add(sample, position) for position, sample in enumerate(added)]
    sizes += [writer.repeat(index, position) for position, index in enumerate(fills, len(added))]
    data = b"".join(writer.finish())
    assert writer.num_bytes == len(data) == sum(sizes) + container.mark_bytes
    return data, sizes


def spans(records: list[Record]) -> list[tuple[int, int, int]]:
    return [(record.index, record.offset_bytes, record.num_bytes) for record in records]


def same(found: Sample, expected: Sample) -> bool:
    """Compare what the container says it holds; what it holds, it holds exactly."""
    return (found.encoded, found.label) == (expected.encoded, expected.label) and (
        not found.key or found == expected or (found.key, found.extras) == (expected.key, expected.extras)
    )


@EVERY
@given(samples, st.data())
def test_what_was_added_is_read_back(container: Container, added: list[Sample], data: st.DataObject) -> None:
    fills = data.draw(st.lists(st.integers(0, len(added) - 1), max_size=3)) if added else []
    content, sizes = write(container, added, fills)
    records = list(container.iter_buffer(memoryview(content), name="f"))
    offsets = [0, *itertools.accumulate(sizes)][:-1]
    assert spans(records) == [(i, *span) for i, span in enumerate(zip(offsets, sizes, strict=True))]
    assert spans(list(container.iter_stream(io.BytesIO(content), name="f"))) == spans(records)
    for record, expected in zip(records, [*added, *(added[index] for index in fills)], strict=True):
        assert same(container.decode_sample(record.payload), expected)
        alone = content[record.offset_bytes : record.offset_bytes + record.num_bytes]
        assert same(container.decode_record(alone), expected)
        assert container.decode_record(memoryview(alone)) == container.decode_sample(record.payload)


@EVERY
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
    writers = [container.open_writer("val", 3) for _ in range(2)]
    for writer, position in itertools.product(writers, range(3)):
        writer.add(SAMPLE, position)
    assert writers[0].finish() == writers[1].finish()
    assert writers[0].index() == writers[1].index()
    assert writers[0].index().endswith(b"\n")


@EVERY
def test_a_cut_or_longer_record_is_refused_with_its_place(container: Container) -> None:
    content, (size, *_) = write(container, [SAMPLE, SAMPLE])
    for wrong in (b"", content[: size - 1], content[: size + 1], content[: 2 * size], content[8:size]):
        with pytest.raises(CorruptRecordError, match=r"^s3://b/f: record 5 at byte 1,234: "):
            container.decode_record(wrong, name="s3://b/f", record_index=5, offset_bytes=1234)
    assert same(container.decode_record(content[:size]), SAMPLE)


@EVERY
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


@EVERY
@given(samples)
def test_an_index_tells_where_records_begin(container: Container, added: list[Sample]) -> None:
    writer = container.open_writer("train", 3)
    sizes = [writer.add(sample, position) for position, sample in enumerate(added)]
    index = ShardIndex(content=writer.index(), num_bytes=writer.num_bytes, name="f.idx")
    assert list(container.record_starts(index)) == [0, *itertools.accumulate(sizes)][:-1]


@EVERY
def test_an_index_that_makes_no_sense_is_named(container: Container) -> None:
    index = ShardIndex(content=b"v1.2 1\nno index\n", num_bytes=100, name="f.idx")
    with pytest.raises(CorruptRecordError, match=r"f\.idx"):
        container.record_starts(index)
