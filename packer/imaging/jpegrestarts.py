"""Is a JPEG with left-over bytes before its restart markers whole, or damaged?

Encoders in webcams and scanners fill up the data between two restart markers, which decoders pass over. Damage looks
alike to a decoder: codes that were changed are used up too late or too early. So each interval is decoded by itself, as
a picture of its own, which tells whether its codes make sense and how many bytes they leave over:

    header | interval RST0 interval RST1 ... EOI    ->    small header | interval RST0 same interval EOI, for each

(Twice, because libjpeg does not count at the end of a picture what it has read ahead.)

The file is whole if all intervals are there, in order, with nothing wrong in any of them, and what they leave over is
filling: a few bytes, equal bytes, or about as many in half of the intervals or more, since an encoder does so in all of
the file and damage is in one place.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import simplejpeg

from packer.imaging.jpegheader import read_jpeg_header
from packer.imaging.jpegmarkers import iter_segments

_WORD_BYTES = 3
"""What is missing to a word of four bytes: encoders that write words leave no more."""
_MAX_SIDE_PX = 65_500
_LEFT_OVER = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd[09]")
_RESTARTS = re.compile(rb"\xff([\xd0-\xd7])")
_END = b"\xff\xd9"
_STUFFED = b"\xff\x00"

# Second bytes of markers (ITU T.81, table B.1).
_BASELINE_FRAMES = frozenset({0xC0, 0xC1})
_RESTART_INTERVAL = 0xDD
_COPIED = frozenset({0xC4, 0xDB, 0xDA})
"""Tables, and the header of the scan; colour does not matter."""
_FIRST_RESTART = 0xD0
_FILL = 0xFF
_BLOCK_PX = 8


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the only scan of a baseline file is divided."""

    header: bytes
    """Tables, frame and scan header, all that comes before the data."""
    frame_at: int
    """Offset in `header` of height and width in the frame."""
    interval_units: int
    """Minimum coded units between two restarts."""
    num_units: int
    unit_size: tuple[int, int]
    """Width and height in pixels of a unit."""


def is_padded(data: bytes) -> bool:
    """Say whether what a plain JPEG leaves over before its restart markers is filling in a whole file."""
    header = read_jpeg_header(data)
    layout = _find_layout(data) if header and not header.has_many_scans else None
    if header is None or layout is None:
        return False
    intervals = _split(data[header.scan_start : data.rfind(_END)])
    if intervals is None or len(intervals) != -(-layout.num_units // layout.interval_units):
        return False
    left_over = []
    for index, interval in enumerate(intervals):
        num_units = min(layout.interval_units, layout.num_units - index * layout.interval_units)
        num_bytes = _count_left_over(interval, num_units, layout)
        if num_bytes is None:
            return False
        if num_bytes:
            left_over.append(_tail(interval, num_bytes))
    return all(map(_is_filling, left_over)) or _is_everywhere(left_over, num_intervals=len(intervals))


def _tail(interval: bytes, num_bytes: int) -> bytes:
    """Return the last bytes of an interval as they were before zeros were stuffed behind each 0xFF."""
    is_cut = interval[-num_bytes - 1 : -num_bytes + 1 or None] == _STUFFED
    return interval[-num_bytes - is_cut :].replace(_STUFFED, b"\xff")


def _is_filling(left_over: bytes) -> bool:
    return len(left_over) <= _WORD_BYTES or len(set(left_over)) == 1


def _is_everywhere(left_over: list[bytes], *, num_intervals: int) -> bool:
    """Say whether at least half of the intervals leave something over, and none much more than the others."""
    lengths = sorted(map(len, left_over))
    return 2 * len(lengths) >= num_intervals and lengths[-1] <= 2 * lengths[len(lengths) // 2] + _WORD_BYTES


def _split(scan: bytes) -> list[bytes] | None:
    """Return the data between restart markers; None where these are not numbered in turn."""
    parts = _RESTARTS.split(scan)
    numbers = [marker[0] for marker in parts[1::2]]
    is_in_turn = all(number == _FIRST_RESTART + index % 8 for index, number in enumerate(numbers))
    return parts[::2] if is_in_turn else None


def _count_left_over(interval: bytes, num_units: int, layout: _Layout) -> int | None:
    """Return how many bytes are left when an interval has been decoded; None where it does not decode."""
    width, height = num_units * layout.unit_size[0], 2 * layout.unit_size[1]
    header = bytearray(layout.header)
    struct.pack_into(">HH", header, layout.frame_at, height, width)
    twice = interval + bytes((_FILL, _FIRST_RESTART)) + interval + _END
    restarts = struct.pack(">BBHH", _FILL, _RESTART_INTERVAL, 4, num_units)
    try:
        simplejpeg.decode_jpeg(header[:2] + restarts + header[2:] + twice, "GRAY", min_width=1, min_height=1)
    except ValueError as error:
        found = _LEFT_OVER.match(str(error))
        return int(found[1]) if found else None
    return 0


def _find_layout(data: bytes) -> _Layout | None:
    """Return how a file with one scan of all its components is divided; None for any other."""
    header, frame_at, frame, interval = bytearray(data[:2]), 0, b"", 0
    for marker, at, stop in iter_segments(data):
        if marker == _RESTART_INTERVAL:
            (interval,) = struct.unpack_from(">H", data, at + 4)
        elif marker in _BASELINE_FRAMES:
            frame, frame_at = data[at + 4 : stop], len(header) + 5
            header += data[at:stop]
        elif marker in _COPIED:
            header += data[at:stop]
    if not frame or not interval:
        return None
    size, unit_size = struct.unpack_from(">HH", frame, 1)[::-1], _unit_size(frame)
    columns, rows = (-(-side // unit) for side, unit in zip(size, unit_size, strict=True))
    if interval * unit_size[0] > _MAX_SIDE_PX:
        return None
    return _Layout(bytes(header), frame_at, interval, columns * rows, unit_size)


def _unit_size(frame: bytes) -> tuple[int, int]:
    """Return width and height of a minimum coded unit: a block of one component, or what all sampling factors span."""
    factors = frame[7::3]
    if len(factors) == 1:
        return _BLOCK_PX, _BLOCK_PX
    return _BLOCK_PX * max(factor >> 4 for factor in factors), _BLOCK_PX * max(factor & 15 for factor in factors)
