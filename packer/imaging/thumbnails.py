"""Small pictures for people to look at. Nothing that is packed passes through here."""

from __future__ import annotations

import io
import warnings

import msgspec
import numpy as np
from PIL import Image, ImageDraw, ImageFile, ImageOps, ImageStat

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


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn onto a small picture, in pixels of the picture itself."""

    boxes: tuple[tuple[float, float, float, float], ...] = ()
    """Left, top, right, bottom."""
    points: tuple[tuple[float, float], ...] = ()
    """Of those that are visible, x and y."""
    masks: tuple[bytes, ...] = ()
    """Image files of numbers, of which each but 0 gets a colour."""


NO_MARKS = Marks()
_COLOURS = ((255, 64, 64), (64, 160, 255), (255, 200, 0), (80, 220, 100), (230, 90, 230), (0, 220, 220))
_MASK_OPACITY = 110
"""Of 255."""


def make_partial_thumbnail(encoded: bytes, *, side_px: int) -> Thumbnail | None:
    """Return what can be seen of a file that may be cut; else as `make_thumbnail`. Not to be called by many threads."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        return make_thumbnail(encoded, side_px=side_px)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def make_thumbnail(encoded: bytes, *, side_px: int, marks: Marks = NO_MARKS) -> Thumbnail | None:
    """Return a JPEG whose longer side is at most `side_px`, with marks; None for bytes that Pillow cannot draw."""
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
    small = _marked(small, marks, small.width / max(1, width))
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=80, optimize=True)
    return Thumbnail(jpeg=sink.getvalue(), width=width, height=height, mean=grey.mean[0], spread=grey.stddev[0])


def _marked(small: Image.Image, marks: Marks, scale: float) -> Image.Image:
    """Return the picture with masks as coloured glass, frames of boxes and dots of points; `scale` is its share."""
    for encoded in marks.masks:
        small = _tinted(small, encoded)
    draw = ImageDraw.Draw(small)
    for number, box in enumerate(marks.boxes):
        left, top, right, bottom = (round(value * scale) for value in box)
        draw.rectangle(
            (left, top, max(left, right - 1), max(top, bottom - 1)), outline=_COLOURS[number % len(_COLOURS)]
        )
    for x, y in marks.points:
        centre_x, centre_y = round(x * scale), round(y * scale)
        draw.ellipse((centre_x - 2, centre_y - 2, centre_x + 2, centre_y + 2), fill=_COLOURS[0], outline="white")
    return small


def _tinted(small: Image.Image, encoded: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(encoded)) as mask:
            numbers = np.asarray(mask.resize(small.size, Image.Resampling.NEAREST), dtype=np.int64)
    except Exception:  # as above
        return small
    colours = np.array([(0, 0, 0, 0), *((*colour, _MASK_OPACITY) for colour in _COLOURS)], np.uint8)
    glass = colours[np.where(numbers > 0, 1 + (numbers - 1) % len(_COLOURS), 0)]
    return Image.alpha_composite(small.convert("RGBA"), Image.fromarray(glass, "RGBA")).convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    transparent = image.convert("RGBA")
    ground = Image.new("RGBA", transparent.size, "white")
    return Image.alpha_composite(ground, transparent).convert("RGB")
