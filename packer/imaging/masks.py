"""Masks: pictures whose pixels are numbers, such as classes, so that no value may be made of two others."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from packer.imaging.field_geometry import Mask
from packer.imaging.geometry import Size
from packer.imaging.rejects import RejectError, RejectReason

MASK_FORMAT = "png"
_LOSSLESS = ("PNG", "BMP", "GIF", "TIFF")
_MODES = ("1", "L", "P", "I;16", "I;16B", "I")
_MAX_VALUE = 2**16 - 1


def decode_mask(data: bytes, *, max_pixels: int) -> Mask:
    """Return the numbers of a mask's file, uint8 or uint16 [height, width]: grey values, or indices of a palette.

    Orientations in the file are passed over, as a mask lies as the pixels of its picture do.

    Raises RejectError for a file that is none, has colours, or has more than `max_pixels` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_LOSSLESS) as image:
                _check_header(image, max_pixels)
                image.load()
                pixels = np.asarray(image)
    except (RejectError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything
        raise RejectError(
            RejectReason.FIELD, f"expected a mask as PNG, BMP, GIF or TIFF that decodes, got: {error}"
        ) from None
    if pixels.dtype == np.bool_ or pixels.dtype == np.uint8:
        return pixels.astype(np.uint8)
    if pixels.min() < 0 or pixels.max() > _MAX_VALUE:
        raise RejectError(RejectReason.FIELD, f"expected numbers of 0 to {_MAX_VALUE:,} in a mask, got others")
    return pixels.astype(np.uint16)


def _check_header(image: Image.Image, max_pixels: int) -> None:
    if image.mode not in _MODES:
        raise RejectError(
            RejectReason.FIELD, f"expected a mask of grey values or of a palette, got one of mode {image.mode}"
        )
    if image.width * image.height > max_pixels:
        raise RejectError(
            RejectReason.FIELD, f"expected a mask of at most {max_pixels:,} pixels, got {image.width}x{image.height}"
        )


def encode_mask(mask: Mask) -> bytes:
    """Return a mask as a PNG of 8 or 16 bits grey."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(mask)).save(out, "PNG", compress_level=6)
    return out.getvalue()


def check_mask_size(mask: Mask, size: Size) -> None:
    """Raise RejectError unless a mask has the width and height of its picture."""
    found = mask.shape[::-1]
    if found != size:
        raise RejectError(
            RejectReason.FIELD,
            f"expected a mask of the {size[0]}x{size[1]} pixels of its picture's file, got {found[0]}x{found[1]}",
        )
