"""Embedded ICC profiles: conversion to sRGB, which is what networks are trained on and viewers assume.

Applied after resampling, to a few pixels instead of millions. Rendering is relative colorimetric with black point
compensation. A profile that is broken, or of another colour space than the pixels, is ignored, as viewers do.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageChops

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

_GRID_LEVELS = bytes(range(0, 256, 51))
_MOST_DIFFERENCE = 1
"""Levels of 0-255 by which a profile may change a colour and still count as sRGB itself; many variants are about."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an L, RGB or CMYK image as sRGB in mode RGB; RGB and L come back as they are where nothing changes."""
    transform = _transform_to_srgb(profile, image.mode) if profile else None
    if transform is not None:
        image = transform.apply(image)
        # The transform attaches its output profile, and samples carry no metadata.
        image.info.clear()
    return image.convert("RGB") if image.mode == "CMYK" else image


def is_srgb(profile: bytes | None, mode: str) -> bool:
    """Say whether `to_srgb` would leave RGB or L pixels as they are."""
    return not profile or _transform_to_srgb(profile, mode) is None


# A data set has few distinct profiles, and building a transform costs more than a whole image.
@lru_cache(maxsize=32)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """Return the transform to RGB; None where the profile is broken, near sRGB, or of another colour space."""
    from PIL import ImageCms  # Loads LittleCMS, which most workers never need.

    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    return None if _is_identity(transform, mode) else transform


def _is_identity(transform: ImageCmsTransform, mode: str) -> bool:
    if mode == "CMYK":
        return False
    if mode == "L":
        grid = Image.frombytes("L", (256, 1), bytes(range(256)))
    else:
        colours = bytes(v for r in _GRID_LEVELS for g in _GRID_LEVELS for b in _GRID_LEVELS for v in (r, g, b))
        grid = Image.frombytes("RGB", (len(colours) // 3, 1), colours)
    difference = ImageChops.difference(grid.convert("RGB"), transform.apply(grid))
    return max(difference.tobytes()) <= _MOST_DIFFERENCE
