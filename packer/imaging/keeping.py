"""`encode=keep`: samples that are the source's own bytes.

They are decoded all the same: to know that they decode, and to count their colours. Colours are counted as a plain
decoder shows them, over white, without colour profile or orientation, which stay in the file for a reader to apply.
"""

from __future__ import annotations

from operator import add

from PIL import Image

from packer.imaging.colour import is_srgb
from packer.imaging.decoding import DecodedImage, decode_image
from packer.imaging.field_geometry import still
from packer.imaging.geometry import Geometry
from packer.imaging.orientation import UPRIGHT
from packer.imaging.values import TransformedImage

_STRIP_PIXELS = 1 << 18
_NUM_COUNTS = 3 * 256


def keep_image(data: bytes, max_pixels: int) -> TransformedImage:
    """Return any image file as it is. Raises as `decode_image`."""
    return kept(data, decode_image(data, max_pixels=max_pixels, draft_request=lambda source, _: source))


def satisfies(decoded: DecodedImage, geometry: Geometry) -> bool:
    """Say whether a decoded file is what resizing and encoding would have aimed at.

    It is when it has the size asked for, is upright, holds one frame of 8-bit RGB as sRGB, and is JPEG, PNG or WebP.
    """
    return (
        decoded.stored.is_plain
        and decoded.orientation == UPRIGHT
        and decoded.source == decoded.pixels.size == geometry.resized == geometry.canvas
        and is_srgb(decoded.icc_profile, "RGB")
    )


def kept(data: bytes, decoded: DecodedImage) -> TransformedImage:
    """Return the sample that is `data` itself."""
    stored = decoded.stored
    return TransformedImage(
        encoded=data,
        image_format=stored.image_format,
        width=stored.size[0],
        height=stored.size[1],
        channels=stored.channels,
        move=still(stored.size) if decoded.orientation == UPRIGHT else None,
        source=stored.size,
        histogram=_count_colours(decoded.pixels),
    )


def _count_colours(pixels: Image.Image) -> tuple[int, ...]:
    """Return the RGB histogram of decoded pixels of any size, converted a few rows at a time."""
    if pixels.mode in ("RGB", "RGBX"):
        return tuple(pixels.histogram()[:_NUM_COUNTS])
    if pixels.mode == "L":
        return tuple(pixels.histogram() * 3)
    width, height = pixels.size
    rows = max(1, _STRIP_PIXELS // width)
    counts = [0] * _NUM_COUNTS
    for top in range(0, height, rows):
        strip = pixels.crop((0, top, width, min(top + rows, height)))
        counts = list(map(add, counts, strip.convert("RGB").histogram()))
    return tuple(counts)
