"""JPEGs that take long: many scans, and EXIF in many segments."""

from __future__ import annotations

import re

from PIL import Image

from tests.imaging.images import file_of


def many_scans(num_scans, *, side_px=64, mode="L"):
    """A progressive JPEG whose first scan is repeated; it goes through the whole picture each time."""
    data = file_of(Image.new(mode, (side_px, side_px)), "JPEG", progressive=True)
    num_others = data.count(b"\xff\xda") - 1
    start = data.index(b"\xff\xda")
    stop = next(found.start() for found in re.finditer(rb"\xff[\xc4\xda]", data) if found.start() > start)
    return data[:start] + data[start:stop] * (num_scans - num_others) + data[stop:]


def many_segments(num_segments, *, mode="RGB", num_bytes=65_533):
    """A JPEG whose EXIF block goes on over many segments."""
    data = file_of(Image.new(mode, (64, 48)), "JPEG")
    segment = b"\xff\xe1" + num_bytes.to_bytes(2, "big") + b"Exif\0\0"
    return data[:2] + segment.ljust(num_bytes + 2, b"\0") * num_segments + data[2:]
