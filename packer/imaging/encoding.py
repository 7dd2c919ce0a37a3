"""Pixels to an image file, with nothing in it but pixels. One entry of `_ENCODERS` for each encoding there is."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from PIL import Image

from packer.options import Encode, ImageSpec


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
    """Baseline, 4:2:0, standard Huffman tables: optimising them triples the cost for 3 % of the size."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=spec.quality, subsampling="4:2:0", optimize=False, progressive=False)
    return file.getvalue()


_ENCODERS: Mapping[Encode, Encoder] = MappingProxyType(
    {
        # libjpeg's JPEG_MAX_DIMENSION; the format itself would allow 65,535.
        Encode.JPEG: Encoder(image_format="jpeg", max_side_px=65_500, encode=_encode_jpeg),
    }
)
