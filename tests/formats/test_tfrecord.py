import io
import struct

import pytest

from packer.errors import CorruptRecordError
from packer.formats.crc32c import masked_crc32c
from packer.formats.tfrecord import CONTAINER as TFRECORD

HELLO = bytes.fromhex("0500000000000000eab2043e68656c6c6fbb1f1c19")


def read(data, check=True):
    return [bytes(r.payload) for r in TFRECORD.iter_buffer(memoryview(data), name="f", check=check)]


def test_known_bytes_of_hello():
    assert b"".join(TFRECORD.frame(b"hello")) == HELLO
    assert read(HELLO) == [b"hello"]


def test_every_flipped_bit_is_found():
    data = b"".join(piece for payload in (b"hello", b"", b"0123456789") for piece in TFRECORD.frame(payload))
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptRecordError, match="crc32c"):
            read(damaged)


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        (0, "masked crc32c of the length is"),
        (8, "masked crc32c of the length is 3e04b2ea, but 3e04b2eb is stored"),
        (12, "masked crc32c of the payload is"),
        (17, "masked crc32c of the payload is 191c1fbb, but 191c1fba is stored"),
    ],
)
def test_damage_is_described(at, problem):
    damaged = bytearray(HELLO + HELLO)
    damaged[len(HELLO) + at] ^= 1
    with pytest.raises(CorruptRecordError) as caught:
        read(damaged)
    assert str(caught.value).startswith(f"f: record 1 at byte 21: {problem}")


def test_unchecked_reading_skips_the_payloads_checksum_alone():
    damaged = bytearray(HELLO)
    damaged[12] ^= 1
    assert read(damaged, check=False) == [b"iello"]
    damaged[8] ^= 1
    with pytest.raises(CorruptRecordError, match="crc32c of the length"):
        read(damaged, check=False)


@pytest.mark.parametrize("length", [6, 2**31, 2**63 - 1, 2**64 - 1])
@pytest.mark.parametrize("check", [True, False])
def test_absurd_length_with_a_good_checksum_allocates_nothing(length, check):
    header = struct.pack("<Q", length)
    data = header + struct.pack("<I", masked_crc32c(header)) + HELLO[12:]
    with pytest.raises(CorruptRecordError, match=f"expected {length:,} bytes of payload and 4 of checksum"):
        read(data, check)
    with pytest.raises(CorruptRecordError, match=f"expected {length:,} bytes of payload and 4 of checksum"):
        list(TFRECORD.iter_stream(io.BytesIO(data), name="f", check=check))


@pytest.mark.tensorflow
def test_tensorflow_reads_ours_and_we_read_tensorflows(tmp_path):
    tf = pytest.importorskip("tensorflow")
    payloads = [b"hello", b"", b"x" * 70_000, bytes(range(256))]
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for payload in payloads:
            writer.write(payload)
    ours.write_bytes(b"".join(piece for payload in payloads for piece in TFRECORD.frame(payload)))
    assert ours.read_bytes() == theirs.read_bytes()
    assert read(theirs.read_bytes()) == payloads
    assert [raw.numpy() for raw in tf.data.TFRecordDataset(str(ours))] == payloads
