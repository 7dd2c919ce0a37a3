"""Does an encoded image decode?"""

from __future__ import annotations

from packer.imaging.decoding import decode_image
from packer.imaging.imageformats import open_image

_MAX_PIXELS = 1 << 30
"""Samples were made here and may be as large as was asked for."""


def read_size(data: bytes) -> tuple[int, int, int]:
    """Return width and height in pixels and channels as an image's file stores them, whatever its orientation.

    By the header alone. Raises RejectError for no image.
    """
    stored = open_image(data).stored
    return (*stored.size, stored.channels)


def check_decodes(data: bytes) -> tuple[int, int]:
    """Decode an image whole and return its width and height in pixels as its file stores them.

    Raises RejectError where it does not decode.
    """
    return decode_image(data, max_pixels=_MAX_PIXELS, draft_request=lambda source, _: source).stored.size
