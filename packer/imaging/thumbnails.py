"""Small pictures for people to look at. Nothing that is packed passes through here."""

from __future__ import annotations

import io
import warnings

import msgspec
from PIL import Image, ImageFile, ImageOps, ImageStat

_MAX_PIXELS = 100_000_000


class Thumbnail(msgspec.Struct, frozen=True, kw_only=True):
    """A picture made small, and what was seen of it."""

    jpeg: bytes
    width: int
    """Of the picture itself in pixels, upright."""
    height: int
    mean: float
    """Brightness of the small picture, 0 (black) to 255 (white)."""
    spread: float
    """Standard deviation of the brightness; near 0 for a picture of one colour."""


def make_partial_thumbnail(encoded: bytes, *, side_px: int) -> Thumbnail | None:
    """Return what can be seen of a file that may be cut; else as `make_thumbnail`. Not to be called by many threads."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        return make_thumbnail(encoded, side_px=side_px)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def make_thumbnail(encoded: bytes, *, side_px: int) -> Thumbnail | None:
    """Return a JPEG whose longer side is at most `side_px`; None for bytes that Pillow cannot draw."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = Image.open(io.BytesIO(encoded))
            full = source.size
            if full[0] * full[1] > _MAX_PIXELS:
                return None
            source.draft("RGB", (2 * side_px, 2 * side_px))
            upright = ImageOps.exif_transpose(source)
            is_turned = upright.size == source.size[::-1]
            width, height = full[::-1] if is_turned else full
            upright.thumbnail((side_px, side_px))
            small = _over_white(upright)
    except Exception:  # whatever a decoder raises for a damaged file: there is then nothing to draw
        return None
    grey = ImageStat.Stat(small.convert("L"))
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=80, optimize=True)
    return Thumbnail(jpeg=sink.getvalue(), width=width, height=height, mean=grey.mean[0], spread=grey.stddev[0])


def _over_white(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    transparent = image.convert("RGBA")
    ground = Image.new("RGBA", transparent.size, "white")
    return Image.alpha_composite(ground, transparent).convert("RGB")
