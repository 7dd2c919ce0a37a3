"""Does an encoded image decode?"""

from __future__ import annotations

from packer.imaging.decoding import decode_image, open_image

_MAX_PIXELS = 1 << 30
"""Samples were made here and may be as large as was asked for."""


def read_size(data: bytes) -> tuple[int, int, int]:
    """Return width and height in pixels and channels from an image's header. Raises RejectError for no image."""
    image = open_image(data)
    return image.width, image.height, len(image.getbands())


def check_decodes(data: bytes) -> tuple[int, int]:
    """Decode an image whole and return its width and height in pixels. Raises RejectError where it does not decode."""
    return decode_image(data, max_pixels=_MAX_PIXELS, draft_request=lambda source, _: source).source
