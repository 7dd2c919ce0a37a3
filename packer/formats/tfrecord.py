"""TFRecord framing, as TensorFlow writes it.

    | uint64 length | uint32 masked crc32c of the 8 length bytes | payload | uint32 masked crc32c of the payload |

All numbers are little-endian; files concatenate; there is no header of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from packer.errors import CorruptRecordError
from packer.formats.container import Record
from packer.formats.crc32c import MASK_DELTA, crc32c, masked_crc32c
from packer.formats.features import decode_sample_example, encode_sample_example
from packer.formats.framed_container import FramedContainer
from packer.formats.framing import Chunk, MalformedError, More
from packer.formats.index import format_dali_index, parse_dali_index, spans_of

OVERHEAD_BYTES = 16
"""Framed size of a record beyond its payload."""

_HEADER = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")


def frame_record(payload: bytes) -> list[bytes]:
    """Return header, payload (the same object) and footer."""
    length = _LENGTH.pack(len(payload))
    return [length + _CRC.pack(masked_crc32c(length)), payload, _CRC.pack(masked_crc32c(payload))]


def iter_records(chunk: Chunk, more: More, *, name: str, check: bool) -> Iterator[Record]:
    """Yield the records of `chunk` and what follows it, to the end; payloads are views.

    The length's checksum is always checked, since nothing else bounds what a stream would be read for; `check` is
    about the payload's.

    Raises:
        CorruptRecordError: a piece is cut short or a checksum does not match.
    """
    view, at, stop = memoryview(chunk), 0, len(chunk)
    index = offset_bytes = 0
    parse_header, parse_crc = _HEADER.unpack_from, _CRC.unpack_from
    try:
        while True:
            if stop - at < 12:
                view, at = memoryview(more(view[at:], 12)), 0
                stop = len(view)
                if stop < 12:
                    if not stop:
                        return
                    raise MalformedError(f"expected a header of 12 bytes, got {stop}: the file is cut short")
            length, length_crc = parse_header(view, at)
            crc = crc32c(view[at : at + 8])
            # As masked_crc32c has it: the calls would be a twentieth of what a record costs.
            if (crc >> 15 | crc << 17) + MASK_DELTA & 0xFFFFFFFF != length_crc:
                raise _wrong_crc("length", view[at : at + 8], length_crc)
            num_bytes = length + OVERHEAD_BYTES
            if stop - at < num_bytes:
                view, at = memoryview(more(view[at:], num_bytes)), 0
                stop = len(view)
                if stop < num_bytes:
                    raise _cut_short(length, stop - 12)
            end = at + num_bytes
            payload = view[at + 12 : end - 4]
            if check:
                (payload_crc,) = parse_crc(view, end - 4)
                crc = crc32c(payload)
                if (crc >> 15 | crc << 17) + MASK_DELTA & 0xFFFFFFFF != payload_crc:
                    raise _wrong_crc("payload", payload, payload_crc)
            yield Record(index, offset_bytes, num_bytes, payload)
            index += 1
            offset_bytes += num_bytes
            at = end
    except MalformedError as error:
        raise CorruptRecordError(name, index, offset_bytes, str(error)) from None


def _cut_short(length: int, found: int) -> MalformedError:
    return MalformedError(
        f"expected {length:,} bytes of payload and 4 of checksum, got {found:,} bytes: the file is cut short"
    )


def _wrong_crc(part: str, data: bytes | memoryview, expected: int) -> MalformedError:
    return MalformedError(
        f"masked crc32c of the {part} is {masked_crc32c(data):08x}, but {expected:08x} is stored: the file is "
        "damaged or not a TFRecord file"
    )


def _format_index(sizes_bytes: Sequence[int]) -> bytes:
    return format_dali_index(spans_of(sizes_bytes)).encode()


def _parse_index(text: str, name: str) -> Sequence[int]:
    return parse_dali_index(text, name=name).offsets_bytes


CONTAINER = FramedContainer(
    name="tfrecord",
    suffix=".tfrecord",
    frame=frame_record,
    iter_records=iter_records,
    encode_sample=encode_sample_example,
    parse_payload=decode_sample_example,
    format_index=_format_index,
    parse_index=_parse_index,
    holds_examples=True,
)
