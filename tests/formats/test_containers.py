"""What holds for containers that frame record by record: round trips, streams, damage and its description."""

import io
import mmap
import os
import pickle
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import CorruptRecordError
from packer.formats.recordio import CONTAINER as RECORDIO
from packer.formats.registry import get_format
from packer.formats.tfrecord import CONTAINER as TFRECORD
from packer.specs import FormatName

MAGIC = bytes.fromhex("0a23d7ce")
BOTH = pytest.mark.parametrize("container", [TFRECORD, RECORDIO], ids=lambda container: container.name)

# Payloads rich in whole and partial magics, so that aligned, unaligned and adjacent ones all occur.
payloads = st.lists(st.sampled_from([MAGIC, MAGIC[:1], MAGIC[:3], b"A", b"BB", bytes(4)]), max_size=12).map(b"".join)
files = st.lists(payloads | st.binary(max_size=40), max_size=6)


def pack(container, payloads):
    return b"".join(piece for payload in payloads for piece in container.frame(payload))


def read(container, data, check=True):
    return [
        (r.index, r.offset_bytes, r.num_bytes, bytes(r.payload))
        for r in container.iter_buffer(memoryview(data), name="f", check=check)
    ]


def read_stream(container, stream, check=True):
    return [
        (r.index, r.offset_bytes, r.num_bytes, bytes(r.payload))
        for r in container.iter_stream(stream, name="f", check=check)
    ]


def outcome(reader, *args):
    """Return the records, or the error's text after as many records as were readable."""
    try:
        return reader(*args)
    except CorruptRecordError as error:
        return str(error)


@pytest.mark.parametrize(("name", "suffix"), [("tfrecord", ".tfrecord"), ("recordio", ".rec")])
def test_get_format_by_name(name, suffix):
    container = get_format(FormatName(name))
    assert (container.name, container.suffix) == (name, suffix)
    assert pickle.loads(pickle.dumps(container)) == container


@BOTH
def test_frame_passes_the_payload_on_without_a_copy(container):
    payload = os.urandom(1001)
    assert any(piece is payload for piece in container.frame(payload))


@BOTH
@given(files)
def test_round_trip_with_spans_that_tile_the_file(container, payloads):
    data = pack(container, payloads)
    records = read(container, data)
    assert [payload for *_, payload in records] == payloads
    assert [index for index, *_ in records] == list(range(len(payloads)))
    stops = [offset + size for _, offset, size, _ in records]
    assert [offset for _, offset, *_ in records] == [0, *stops][: len(records)]
    assert [0, *stops][-1] == len(data)
    assert read(container, data, False) == records
    for _, offset, size, payload in records:
        assert sum(map(len, container.frame(payload))) == size
        assert read(container, data[offset : offset + size])[0][3] == payload


@BOTH
def test_unchecked_payloads_are_views_of_a_mapped_file(container, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(pack(container, [b"x" * 5000, b""]))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        buffer = memoryview(mapped)
        record = next(container.iter_buffer(buffer, name="f", check=False))
        assert isinstance(record.payload, memoryview)
        assert record.payload.obj is mapped
        del record
        assert [len(payload) for *_, payload in read(container, buffer)] == [5000, 0]
        buffer.release()


class Dribble(io.RawIOBase):
    """A stream whose reads return at most a few bytes, as a FIFO's may."""

    def __init__(self, data, most):
        self._rest, self._most = data, most

    def read(self, num_bytes=-1):
        piece = self._rest[: min(num_bytes, self._most)]
        self._rest = self._rest[len(piece) :]
        return piece


@BOTH
@given(files, st.integers(1, 9), st.data())
def test_stream_and_buffer_agree_on_whole_cut_and_damaged_files(container, payloads, most, data):
    good = pack(container, payloads)
    damaged = bytearray(good[: data.draw(st.integers(0, len(good)))])
    if damaged and data.draw(st.booleans()):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for content in (good, bytes(damaged)):
        for check in (True, False):
            expected = outcome(read, container, content, check)
            assert outcome(read_stream, container, io.BytesIO(content), check) == expected
            assert outcome(read_stream, container, Dribble(content, most), check) == expected


@BOTH
@pytest.mark.parametrize("buffering", [0, -1])
def test_stream_from_a_fifo_larger_than_its_buffer(container, buffering, tmp_path):
    payloads = [os.urandom(size) for size in (0, 1, 300_000, 70_000, 1_500_000, 3)]
    data = pack(container, payloads)
    path = tmp_path / "train_0"
    os.mkfifo(path)

    def write():
        with path.open("wb", buffering=0) as fifo:
            rest = memoryview(data)
            while rest:
                rest = rest[fifo.write(rest[:10_007]) :]

    writer = threading.Thread(target=write)
    writer.start()
    with path.open("rb", buffering=buffering) as fifo:
        assert read_stream(container, fifo) == read(container, data)
    writer.join()


class Reopened(io.RawIOBase):
    """A FIFO whose next writer comes while its reader has not left: more bytes follow the end."""

    def __init__(self, *turns):
        self._turns = [io.BytesIO(turn) for turn in turns]

    def read(self, num_bytes=-1):
        piece = self._turns[0].read(num_bytes)
        if not piece and len(self._turns) > 1:
            del self._turns[0]
        return piece


@BOTH
@pytest.mark.parametrize("check", [True, False])
def test_a_record_is_never_completed_with_bytes_from_after_the_end(container, check):
    data = pack(container, [b"x" * 30, b"y" * 29])
    cut = len(data) - 10
    assert len(read_stream(container, Reopened(data, data), check)) == 2
    with pytest.raises(CorruptRecordError, match=r"record 1 .*cut short"):
        read_stream(container, Reopened(data[:cut], data), check)


@BOTH
@pytest.mark.parametrize("reader", [read, lambda c, data, check: read_stream(c, io.BytesIO(data), check)])
@pytest.mark.parametrize("check", [True, False])
def test_every_truncation_is_found_and_placed(container, reader, check):
    payloads = [b"", b"hello", MAGIC + b"abcd" + MAGIC, b"x" * 30]
    data = pack(container, payloads)
    starts = [offset for _, offset, *_ in read(container, data)] + [len(data)]
    for cut in range(len(data)):
        whole = sum(start <= cut for start in starts) - 1
        if cut == starts[whole]:
            assert len(reader(container, data[:cut], check)) == whole
            continue
        with pytest.raises(CorruptRecordError, match="cut short") as caught:
            reader(container, data[:cut], check)
        error = caught.value
        assert (error.name, error.record_index, error.offset_bytes) == ("f", whole, starts[whole])


@BOTH
@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_give_records_or_the_typed_error(container, data, check):
    for reader, source in ((read, data), (read_stream, io.BytesIO(data))):
        found = outcome(reader, container, source, check)
        if isinstance(found, str):
            assert found.startswith("f: record ")
        else:
            assert sum(size for _, _, size, _ in found) == len(data)


@BOTH
def test_a_fault_keeps_the_records_before_it(container):
    good = pack(container, [b"one", b"two"])
    records = container.iter_buffer(memoryview(good + b"garbage beyond"), name="s3://b/f")
    assert [bytes(next(records).payload) for _ in range(2)] == [b"one", b"two"]
    with pytest.raises(CorruptRecordError, match=f"s3://b/f: record 2 at byte {len(good)}: "):
        next(records)


@BOTH
def test_empty_file_has_no_records(container):
    assert read(container, b"") == read_stream(container, io.BytesIO()) == []


@BOTH
def test_concatenated_files_read_as_one(container):
    first, second = pack(container, [b"a", MAGIC]), pack(container, [b"", b"b" * 9])
    offsets = [offset for _, offset, *_ in read(container, first + second)]
    assert [payload for *_, payload in read(container, first + second)] == [b"a", MAGIC, b"", b"b" * 9]
    assert all(before < after for before, after in pairwise(offsets))
