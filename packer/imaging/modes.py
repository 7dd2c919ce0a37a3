"""From the many pixel layouts of decoders to the four that are resampled, and from those to RGB or greyscale.

    before resampling                                                       resampled   after
    L                                                                       L           RGB, all three equal
    1, and I;16, I, F scaled to 8 bits, and LA over white                   L           RGB, all three equal
    RGB, and YCbCr, LAB and whatever else Pillow converts                   RGB         RGB
    P (never its indices)                                                   RGB         RGB
    RGBA, PA, P or RGB with a transparent colour: over white                RGB         RGB
    CMYK                                                                    CMYK        its profile, or the plain rule

A picture stands on white before it is resampled: both are sums of products, so their order does not matter but for
rounding, and a resampled alpha would have lost what lies above 1 and below 0 at the edges. Where alpha is kept,
everything with an alpha channel or a transparent colour is resampled as RGBa (premultiplied) and becomes RGBA.

Scaling to 8 bits is linear and clips nothing. I;16 spans 0 to 65535, or what the fewer bits of a TIFF hold. I spans
0 to 65535, F spans 0 to 1, 0 to 255 or 0 to 65535, whichever is the first to hold every pixel; otherwise they span what
the image itself holds. A TIFF in which white is zero has its span turned round. What is not a number is black.

Full-size pixels are the memory of a worker (Pillow stores four bytes for each but the one-byte L), so nothing here
holds two four-byte copies.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
from cykooz_resizer import AlphaMulDiv
from cykooz_resizer.alpha import set_image_mode
from PIL import Image, ImageChops

from packer.imaging.rejects import RejectError, RejectReason

_STRIP_PIXELS = 1 << 18
"""Pixels converted at a time where an intermediate layout is wider than both ends: 1 MB at four bytes each."""

_WHITE = 255
_SPANS = {"I": ((0, 65535),), "F": ((0, 1), (0, 255), (0, 65535))}

# Tags of a TIFF (TIFF 6.0, section 8).
_TIFF_BITS = 258
_TIFF_PHOTOMETRIC = 262
_TIFF_SAMPLE_FORMAT = 339
_WHITE_IS_ZERO = 0
_UNSIGNED = (1,)


def to_resampled_mode(image: Image.Image, *, keep_alpha: bool = False) -> Image.Image:
    """Return loaded pixels as L, RGB or CMYK; `image` itself where it is one of these, else `image` is used up.

    With `keep_alpha` all that has transparency becomes RGBa, otherwise it stands on white.

    Raises RejectError for floating-point pixels that are infinite.
    """
    has_key = "transparency" in image.info
    if image.mode in ("L", "RGB", "CMYK") and not has_key:
        return image
    if keep_alpha and image.has_transparency_data:
        return _premultiplied(_grey_with_alpha(image) if image.mode.startswith("I") else image)
    if image.mode.startswith("I") or image.mode == "F":
        return _to_eight_bits(image)
    if image.mode == "L" or image.mode == "La":
        image = image.convert("LA")
    if image.mode == "LA":
        return _by_strips(image, _grey_over_white)
    if image.mode == "1" and not has_key:
        return image.convert("L")
    return _over_white(image) if image.has_transparency_data else image.convert("RGB")


def to_straight_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return the colours of RGBa pixels as RGB, not multiplied by alpha any more, and alpha as L; uses `image` up.

    What is wholly transparent is black.
    """
    AlphaMulDiv().divide_alpha_pil_inplace(image)
    return image.convert("RGB"), image.getchannel("A")


def _over_white(image: Image.Image) -> Image.Image:
    """Return pixels of any mode with transparency on a white ground, as RGB, each value rounded once."""
    target = image if image.mode in ("RGB", "RGBA") else Image.new("RGB", image.size, None)
    for top, strip in strips(image):
        colours = strip.convert("RGBA")
        ground = Image.new("RGB", strip.size, (_WHITE,) * 3)
        ground.paste(colours, mask=colours)
        target.paste(ground, (0, top))
    if target.mode == "RGBA":
        set_image_mode(target, "RGB")  # the same bytes; a conversion would hold them twice
    target.info.pop("transparency", None)
    return target


def _premultiplied(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        image.putalpha(_by_strips(image, lambda strip: strip.convert("RGBA").getchannel("A")))
    elif image.mode == "La":
        image = image.convert("LA")
    elif image.mode == "RGBa":
        return image
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    AlphaMulDiv().multiply_alpha_pil_inplace(image)
    return image


def _grey_with_alpha(image: Image.Image) -> Image.Image:
    """Return 16-bit pixels with one transparent level as LA."""
    levels = [255] * 65536
    levels[image.info.pop("transparency")] = 0
    alpha = _by_strips(image, lambda strip: strip.convert("I").point(levels, "L"))
    return Image.merge("LA", [_to_eight_bits(image), alpha])


def _grey_over_white(strip: Image.Image) -> Image.Image:
    grey, alpha = strip.split()
    return ImageChops.add(ImageChops.multiply(grey, alpha), ImageChops.invert(alpha))


def _to_eight_bits(image: Image.Image) -> Image.Image:
    if isinstance(key := image.info.get("transparency"), int):
        levels = [(value + 128) // 257 for value in range(65536)]
        levels[key] = _WHITE
        return _by_strips(image, lambda strip: strip.convert("I").point(levels, "L"))
    black, white = _span(image)
    # An image of one value outside every span has no contrast to scale; it becomes black.
    scale = _WHITE / (white - black) if white != black else 0.0
    # Conversion from F cuts fractions off; half a level turns that into rounding.
    shift = 0.5 - black * scale
    floats = _unwrapped if _is_wrapped(image) else functools.partial(_floats, black=black)
    return _by_strips(image, lambda strip: floats(strip).point(lambda value: value * scale + shift).convert("L"))


def _span(image: Image.Image) -> tuple[float, float]:
    """Return the values that become black and white."""
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        low, high = 0.0, 2.0 ** tags.get(_TIFF_BITS, (16,))[0] - 1
    else:
        low, high = _span_of_values(image)
    # Pillow turns 8 bits and fewer round by itself, and no more than those.
    return (high, low) if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO else (low, high)


def _span_of_values(image: Image.Image) -> tuple[float, float]:
    if image.mode == "I" and not _is_wrapped(image):
        low, high = cast("tuple[float, float]", image.getextrema())
    else:
        low, high = _extrema(image)
    if math.isinf(low) or math.isinf(high):
        raise RejectError(
            RejectReason.UNSUPPORTED, f"{image.format}: expected finite pixels, got values from {low} to {high}"
        )
    return next((span for span in _SPANS[image.mode] if span[0] <= low and high <= span[1]), (low, high))


def _is_wrapped(image: Image.Image) -> bool:
    """Say whether pixels of mode I are a TIFF's without a sign that Pillow has read as with one, and so below zero."""
    tags = getattr(image, "tag_v2", {})
    is_unsigned = image.mode == "I" and tags.get(_TIFF_SAMPLE_FORMAT) == _UNSIGNED
    return is_unsigned and cast("tuple[int, int]", image.getextrema())[0] < 0


def _extrema(image: Image.Image) -> tuple[float, float]:
    """Return the least and the greatest number in pixels of mode F or wrapped I; 0 and 0 where none is a number.

    Pillow's own extrema depend on where a pixel lies that is not a number.
    """
    low, high = math.inf, -math.inf
    for _, strip in strips(image):
        values = np.asarray(strip if strip.mode == "F" else _unwrapped(strip))
        values = values[~np.isnan(values)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _floats(strip: Image.Image, black: float) -> Image.Image:
    """Return pixels in mode F, with `black` for those that are not numbers."""
    if strip.mode != "F":
        return strip.convert("F")
    values = np.asarray(strip)
    is_missing = np.isnan(values)
    return Image.fromarray(np.where(is_missing, np.float32(black), values)) if is_missing.any() else strip


def _unwrapped(strip: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(strip).view(np.uint32).astype(np.float32))


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert to L a few rows at a time."""
    grey = Image.new("L", image.size, None)
    for top, strip in strips(image):
        grey.paste(convert(strip), (0, top))
    return grey


def strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield the image in strips of some rows, each with the row at its top."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(top + rows, height)))
