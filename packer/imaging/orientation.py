"""The EXIF orientation: read from the raw EXIF block, applied to pixels.

Read by hand because the one tag is all that packing wants: Pillow's parser costs more than the encoder's headers and
prints warnings about blocks that cameras write carelessly. Layout: TIFF 6.0, section 2 (header, then IFD 0 with
12-byte entries of tag, type, count, value).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType

from PIL import Image

UPRIGHT = 1

_TAG_ORIENTATION = 0x0112
_TYPE_SHORT = 3
_ENTRY_BYTES = 12
_TRANSPOSITIONS: Mapping[int, Image.Transpose] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)


def parse_orientation(exif: bytes | None) -> int:
    """Return the orientation 1 to 8 in an EXIF block, with or without its ``Exif`` prefix; 1 where it has none."""
    if not exif:
        return UPRIGHT
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (num_entries,) = struct.unpack_from(order + "H", tiff, directory)
        for index in range(num_entries):
            offset = directory + 2 + index * _ENTRY_BYTES
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, offset)
            if tag == _TAG_ORIENTATION:
                return value if kind == _TYPE_SHORT and value in _TRANSPOSITIONS else UPRIGHT
    except struct.error:
        # A block cut short cannot tell; the picture is still good.
        return UPRIGHT
    return UPRIGHT


def is_transposed(orientation: int) -> bool:
    """Say whether width and height change places."""
    return orientation >= 5


def apply_orientation(image: Image.Image, orientation: int) -> Image.Image:
    """Return the picture as it is meant to be looked at; the same object where it is upright already."""
    transposition = _TRANSPOSITIONS.get(orientation)
    return image if transposition is None else image.transpose(transposition)
