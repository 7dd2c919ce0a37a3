import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import CorruptRecordError, OptionsError
from packer.formats.recordio import CONTAINER as RECORDIO
from packer.formats.recordio import MAX_PAYLOAD_BYTES, iter_records

MAGIC = bytes.fromhex("0a23d7ce")


def pack(*payloads):
    return b"".join(piece for payload in payloads for piece in RECORDIO.frame(payload))


def part(cflag, payload, length=None):
    return MAGIC + struct.pack("<I", cflag << 29 | (len(payload) if length is None else length)) + payload


def read(data, check=True):
    return [bytes(r.payload) for r in RECORDIO.iter_buffer(memoryview(data), name="f", check=check)]


@pytest.mark.parametrize(
    ("payload", "framed"),
    [
        (b"", part(0, b"")),
        (b"hello", part(0, b"hello") + bytes(3)),
        (b"AAAA" + MAGIC + b"BBBBCC", part(1, b"AAAA") + part(3, b"BBBBCC") + bytes(2)),
        (b"AA" + MAGIC + b"BB", part(0, b"AA" + MAGIC + b"BB")),
        (MAGIC, part(1, b"") + part(3, b"")),
        (MAGIC * 3, part(1, b"") + part(2, b"") + part(2, b"") + part(3, b"")),
        (b"A" + MAGIC + b"BCD" + MAGIC, part(1, b"A" + MAGIC + b"BCD") + part(3, b"")),
    ],
)
def test_known_bytes(payload, framed):
    assert pack(payload) == framed
    assert read(framed) == [payload]


@given(st.lists(st.sampled_from([MAGIC, b"\x0a", b"\x23\xd7\xce", b"ABCD"]), max_size=20).map(b"".join))
def test_an_aligned_magic_is_always_the_start_of_a_part(payload):
    framed = pack(payload)
    magics = sum(framed[at : at + 4] == MAGIC for at in range(0, len(framed), 4))
    cuts = sum(payload[at : at + 4] == MAGIC for at in range(0, len(payload), 4))
    assert magics == cuts + 1
    assert read(framed) == [payload]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x0b" + part(0, b"AAAA")[1:], "expected the magic 0a23d7ce, got 0b23d7ce"),
        (part(2, b"AAAA"), "expected a whole record or a first part (cflag 0 or 1), got cflag 2"),
        (part(3, b"AAAA"), "expected a whole record or a first part (cflag 0 or 1), got cflag 3"),
        (part(5, b"AAAA"), "expected a whole record or a first part (cflag 0 or 1), got cflag 5"),
        (
            part(1, b"AAAA") + part(0, b""),
            "expected a middle or last part (cflag 2 or 3) after a first one, got cflag 0",
        ),
        (part(1, b"") + part(2, b"") + part(1, b""), "expected a middle or last part (cflag 2 or 3) after a first"),
        (part(1, b"AAAA"), "expected a part's header of 8 bytes, got 0: the file is cut short"),
        (
            part(0, b"AAAA", length=MAX_PAYLOAD_BYTES),
            "expected a part of 536,870,911 bytes and 1 of padding, got 4 bytes",
        ),
        (part(0, b"AAA") + b"\1", "expected zeros as padding, got 01"),
    ],
)
def test_damage_is_described(data, problem):
    for records in (
        RECORDIO.iter_buffer(memoryview(pack(b"ok") + data), name="f"),
        RECORDIO.iter_stream(io.BytesIO(pack(b"ok") + data), name="f"),
    ):
        assert bytes(next(records).payload) == b"ok"
        with pytest.raises(CorruptRecordError) as caught:
            next(records)
        assert str(caught.value).startswith(f"f: record 1 at byte 12: {problem}")


def test_unchecked_reading_does_not_look_at_the_padding():
    assert read(part(0, b"AAA") + b"\1", check=False) == [b"AAA"]


def test_payload_beyond_29_bits_is_refused():
    with pytest.raises(OptionsError, match="at most 536,870,911 bytes, got 536,870,912"):
        RECORDIO.frame(bytes(MAX_PAYLOAD_BYTES + 1))  # zeroed pages are never touched
    assert len(RECORDIO.frame(b"x")) == 3


def test_parts_that_outgrow_a_payload_are_refused_before_they_are_joined():
    half = memoryview(bytes(1 << 28))  # zeroed pages are never touched
    pieces = iter([part(1, b"", len(half)), half, part(2, b"", len(half)), half])
    records = iter_records(b"", lambda rest, num_bytes: next(pieces), name="f", check=True)
    with pytest.raises(CorruptRecordError, match="expected a payload of at most 536,870,911 bytes, got more"):
        next(records)


@pytest.mark.mxnet
def test_mxnet_reads_ours_and_we_read_mxnets(tmp_path):
    mx_recordio = pytest.importorskip("mxnet").recordio
    payloads = [b"hello", b"A" * 7, MAGIC, b"AAAA" + MAGIC + b"BBBBCC", b"AA" + MAGIC + b"B", MAGIC * 5, b"x" * 70_000]
    theirs, ours = str(tmp_path / "theirs.rec"), tmp_path / "ours.rec"
    writer = mx_recordio.MXRecordIO(theirs, "w")
    for payload in payloads:
        writer.write(payload)
    writer.close()
    ours.write_bytes(pack(*payloads))
    with open(theirs, "rb") as file:
        assert file.read() == ours.read_bytes()
    reader = mx_recordio.MXRecordIO(str(ours), "r")
    assert [reader.read() for _ in range(len(payloads) + 1)] == [*payloads, None]
