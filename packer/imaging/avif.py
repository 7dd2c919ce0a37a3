"""AVIF or HEIC? Both are HEIF, and a file whose first brand is HEIF's own may be either."""

from __future__ import annotations

from typing import Self

from packer.imaging.faults import FileFormat
from packer.imaging.pillowimage import PillowImage

_BRANDS = frozenset({b"avif", b"avis"})
_MOST_BYTES = 1024
"""Of a box that lists brands; the longest ones about have a dozen, of 4 bytes each."""


class AvifImage(PillowImage):
    format = FileFormat("AVIF")
    module = "AvifImagePlugin"

    @classmethod
    def open(cls, data: bytes) -> Self | None:
        """See `OpenedImage.open`."""
        return super().open(data) if has_avif_brand(data) else None


def has_avif_brand(data: bytes) -> bool:
    """Say whether a file's box ``ftyp`` names AVIF among its brands (ISO/IEC 14496-12, section 4.3)."""
    if data[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(data[:4], "big"), _MOST_BYTES)
    return any(data[at : at + 4] in _BRANDS for at in (8, *range(16, end, 4)))
