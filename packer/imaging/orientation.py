"""The orientation of a picture: found in EXIF or XMP as Pillow's `ImageOps.exif_transpose` finds it, applied to pixels.

EXIF is read by hand because the one tag is all that packing wants: Pillow's parser costs more than the encoder's
headers and prints warnings about blocks that cameras write carelessly. Layout: TIFF 6.0, section 2 (header, then IFD 0
with 12-byte entries of tag, type, count, value).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from types import MappingProxyType

from PIL import Image

UPRIGHT = 1

_TAG_ORIENTATION = 0x0112
_FORMATS: Mapping[int, str] = MappingProxyType({3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 13: "I"})
"""By the type of a tag that holds a number in four bytes or fewer: how that is stored."""
_KNOWN_TYPES = frozenset({*range(1, 14), 16})
"""Pillow passes tags of other types over, and those without a value."""
_ENTRY_BYTES = 12
_VALUE_AT = 8
_EXIF = b"Exif\0\0"
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
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


def find_orientation(exif: bytes | str | None, xmp: bytes | str | None) -> int:
    """Return the orientation 1 to 8 that a file's EXIF block states, or else its XMP; 1 where neither does.

    EXIF as text is a PNG's "Raw profile type exif": a name, a length, and hex digits, each on lines of their own.
    """
    block = _from_hex(exif) if isinstance(exif, str) else exif
    orientation = parse_exif(block) if block else None
    if orientation is None and xmp:
        found = _XMP.search(xmp.encode() if isinstance(xmp, str) else xmp)
        orientation = int(found[1]) if found else None
    return orientation if orientation is not None and orientation in _TRANSPOSITIONS else UPRIGHT


def parse_exif(exif: bytes) -> int | None:
    """Return the orientation in an EXIF block, with or without its ``Exif`` prefix, whatever number that is.

    None where the block does not tell, or is cut short before it does: its picture is still good.
    """
    tiff = exif.removeprefix(_EXIF).removeprefix(_EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (num_entries,) = struct.unpack_from(order + "H", tiff, directory)
        for at in range(directory + 2, directory + 2 + num_entries * _ENTRY_BYTES, _ENTRY_BYTES):
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
            if tag == _TAG_ORIENTATION and kind in _KNOWN_TYPES and count:
                (value,) = struct.unpack_from(order + _FORMATS.get(kind, "4s"), tiff, at + _VALUE_AT)
                return value if count == 1 and kind in _FORMATS else 0
    except struct.error:
        return None
    return None


def _from_hex(profile: str) -> bytes | None:
    try:
        return bytes.fromhex("".join(profile.split("\n")[3:]))
    except ValueError:
        return None


def is_transposed(orientation: int) -> bool:
    """Say whether width and height change places."""
    return orientation >= 5


def apply_orientation(image: Image.Image, orientation: int) -> Image.Image:
    """Return the picture as it is meant to be looked at; the same object where it is upright already."""
    transposition = _TRANSPOSITIONS.get(orientation)
    return image if transposition is None else image.transpose(transposition)
