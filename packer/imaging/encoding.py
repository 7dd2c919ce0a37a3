"""Pixels to an image file, with nothing in it but pixels. One entry of `_ENCODERS` for each encoding there is.

The same pixels give the same bytes with the same libraries: no times, no metadata, no threads.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from PIL import Image

from packer.specs import Encode, ImageSpec, Subsampling

_PNG_LEVEL = 3
"""Of photographs at short side 256, level 6 takes twice the time for 4 % less."""
_WEBP_METHOD = 4
"""libwebp's own default, of 0 (quick) to 6 (small)."""
_SUBSAMPLINGS: Mapping[Subsampling, str] = MappingProxyType(
    {Subsampling.S420: "4:2:0", Subsampling.S422: "4:2:2", Subsampling.S444: "4:4:4"}
)


@dataclass(frozen=True, slots=True)
class Encoder:
    """What one encoding can do."""

    image_format: str
    """Name in the samples' fields."""
    max_side_px: int
    """Longest side that the format, or its library, allows."""
    encode: Callable[[Image.Image, ImageSpec], bytes]


def encoder_of(spec: ImageSpec) -> Encoder:
    """Return the encoder that the spec asks for."""
    return _ENCODERS[spec.encode]


def _encode_jpeg(image: Image.Image, spec: ImageSpec) -> bytes:
    """Baseline, standard Huffman tables: optimising them triples the cost for 3 % of the size."""
    file = io.BytesIO()
    subsampling = _SUBSAMPLINGS[spec.subsampling]
    image.save(file, "JPEG", quality=spec.quality, subsampling=subsampling, optimize=False, progressive=False)
    return file.getvalue()


def _encode_png(image: Image.Image, spec: ImageSpec) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=_PNG_LEVEL, optimize=False)
    return file.getvalue()


def _encode_webp(image: Image.Image, spec: ImageSpec) -> bytes:
    """Lossy colour, lossless alpha; the colour under wholly transparent pixels is the encoder's choice."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=spec.quality, alpha_quality=100, method=_WEBP_METHOD, lossless=False, exact=False)
    return file.getvalue()


_JPEG = Encoder(image_format="jpeg", max_side_px=65_500, encode=_encode_jpeg)
"""libjpeg's JPEG_MAX_DIMENSION; the format itself would allow 65,535."""
_ENCODERS: Mapping[Encode, Encoder] = MappingProxyType(
    {
        Encode.JPEG: _JPEG,
        Encode.PNG: Encoder(image_format="png", max_side_px=2**31 - 1, encode=_encode_png),
        Encode.WEBP: Encoder(image_format="webp", max_side_px=16_383, encode=_encode_webp),
        # For what cannot be kept.
        Encode.KEEP: _JPEG,
    }
)
