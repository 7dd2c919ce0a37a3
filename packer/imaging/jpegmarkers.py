"""What the markers of a JPEG tell before any decoder is trusted with it (ITU T.81, annex B)."""

from __future__ import annotations

from collections.abc import Iterator

from packer.imaging.jpegheader import MAX_EXIF_SEGMENTS, is_exif
from packer.imaging.rejects import RejectError, RejectReason

MAX_SCANS = 500
"""libjpeg-turbo's own limit where it is asked for one.

Each scan goes through the whole picture, whatever it holds, and thousands of them fit into some kilobytes.
"""

# Second bytes of markers (ITU T.81, table B.1).
_LOSSLESS_FRAME = 0xC3
_EXIF_SEGMENT = 0xE1
_FILL = 0xFF
_SCAN, _END = 0xDA, 0xD9
_ALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD8), _FILL})
"""Those without a length: a stuffed zero, TEM, restarts, fill bytes."""


def check_scans(data: bytes) -> None:
    """Raise RejectError for a file with more than `MAX_SCANS` scans. Scans of thumbnails count, too."""
    num_scans = data.count(bytes((_FILL, _SCAN)))
    if num_scans > MAX_SCANS:
        raise RejectError(
            RejectReason.TOO_SLOW, f"JPEG: expected at most {MAX_SCANS} scans, which take time each, got {num_scans:,}"
        )


def check_header(data: bytes) -> None:
    """Raise RejectError for more EXIF segments than Pillow joins in reasonable time, and as `check_scans`."""
    num_segments = sum(marker == _EXIF_SEGMENT and is_exif(data, at + 4) for marker, at, _ in iter_segments(data))
    if num_segments > MAX_EXIF_SEGMENTS:
        raise RejectError(
            RejectReason.TOO_SLOW, f"JPEG: expected EXIF in at most {MAX_EXIF_SEGMENTS} segments, got {num_segments:,}"
        )
    check_scans(data)


def is_lossless(data: bytes) -> bool:
    """Look for the frame header SOF3 as libjpeg does: up to the first scan, by the lengths of the segments.

    A lossless picture cannot be shrunk, and simplejpeg 1.9 would write beyond its memory where that is asked for.
    """
    return any(marker == _LOSSLESS_FRAME for marker, *_ in iter_segments(data))


def iter_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the second byte of each segment's marker, and its span in bytes, up to the first scan's header.

    As libjpeg does: bytes between segments are passed over.
    """
    at, last = 2, len(data) - 4
    while 0 <= at <= last:
        marker = data[at + 1]
        if data[at] != _FILL:
            at = data.find(b"\xff", at)
        elif marker == _END:
            return
        elif marker in _ALONE:
            at += 1 if marker == _FILL else 2
        else:
            stop = at + 2 + (data[at + 2] << 8 | data[at + 3])
            yield marker, at, stop
            if marker == _SCAN:
                return
            at = stop
