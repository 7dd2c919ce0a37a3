"""TFRecord framing, as TensorFlow writes it.

    | uint64 length | uint32 masked crc32c of the 8 length bytes | payload | uint32 masked crc32c of the payload |

All numbers are little-endian; files concatenate; there is no header of the file.
"""

from __future__ import annotations

import struct

from packer.formats.crc32c import masked_crc32c
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


def read_record(take: Take, *, check: bool) -> tuple[bytes | memoryview, int] | None:
    """Return the next payload and its framed size in bytes, or None at the end.

    The length's checksum is always checked, since nothing else bounds what a stream would be read for; `check` is
    about the payload's, and copies a payload that is a view (the checksum's function takes bytes alone).

    Raises:
        MalformedError: a piece is cut short or a checksum does not match.
    """
    header = take(12)
    if not header:
        return None
    length = _parse_header(header)
    payload = take(length)
    footer = take(4) if len(payload) == length else b""  # nothing is asked of a stream after its end
    if len(footer) < 4:
        raise MalformedError(
            f"expected {length:,} bytes of payload and 4 of checksum, got {len(payload) + len(footer):,} bytes: "
            "the file is cut short"
        )
    if check:
        payload = bytes(payload)
        _check_crc("payload", payload, _CRC.unpack(footer)[0])
    return payload, length + OVERHEAD_BYTES


def _parse_header(header: bytes | memoryview) -> int:
    if len(header) < 12:
        raise MalformedError(f"expected a header of 12 bytes, got {len(header)}: the file is cut short")
    length, length_crc = _HEADER.unpack(header)
    _check_crc("length", _LENGTH.pack(length), length_crc)
    return int(length)


def _check_crc(part: str, data: bytes, expected: int) -> None:
    found = masked_crc32c(data)
    if found != expected:
        raise MalformedError(
            f"masked crc32c of the {part} is {found:08x}, but {expected:08x} is stored: the file is damaged or not "
            "a TFRecord file"
        )
