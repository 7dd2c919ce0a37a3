"""TFRecord framing, as TensorFlow writes it.

    | uint64 length | uint32 masked crc32c of the 8 length bytes | payload | uint32 masked crc32c of the payload |

All numbers are little-endian; files concatenate; there is no header of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from packer.errors import CorruptRecordError
from packer.formats.base import Record
from packer.formats.crc32c import MASK_DELTA, crc32c, masked_crc32c
from packer.formats.framing import MalformedError, Take

OVERHEAD_BYTES = 16
"""Framed size of a record beyond its payload."""

_HEADER = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")


def frame_record(payload: bytes) -> list[bytes]:
    """Return header, payload (the same object) and footer."""
    length = _LENGTH.pack(len(payload))
    return [length + _CRC.pack(masked_crc32c(length)), payload, _CRC.pack(masked_crc32c(payload))]


def iter_records(take: Take, *, name: str, check: bool) -> Iterator[Record]:
    """Yield records until the end. A record's checksum is taken together with the next one's header.

    The length's checksum is always checked, since nothing else bounds what a stream would be read for; `check` is
    about the payload's.

    Raises:
        CorruptRecordError: a piece is cut short or a checksum does not match.
    """
    index = offset_bytes = 0
    try:
        header = take(12)
        while header:
            if len(header) < 12:
                raise MalformedError(f"expected a header of 12 bytes, got {len(header)}: the file is cut short")
            length, length_crc = _HEADER.unpack(header)
            # As masked_crc32c has it; two calls less are 4 % of what a record costs.
            crc = crc32c(header[:8])
            if (crc >> 15 | crc << 17) + MASK_DELTA & 0xFFFFFFFF != length_crc:
                raise _wrong_crc("length", header[:8], length_crc)
            payload = take(length)
            # Nothing is asked of a stream after its end.
            footer = take(4 + 12) if len(payload) == length else b""
            if len(footer) < 4:
                raise _cut_short(length, len(payload) + len(footer))
            if check:
                (payload_crc,) = _CRC.unpack_from(footer)
                crc = crc32c(payload)
                if (crc >> 15 | crc << 17) + MASK_DELTA & 0xFFFFFFFF != payload_crc:
                    raise _wrong_crc("payload", payload, payload_crc)
            num_bytes = length + OVERHEAD_BYTES
            yield Record(index, offset_bytes, num_bytes, payload)
            index += 1
            offset_bytes += num_bytes
            header = footer[4:]
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
