"""Does an encoded image decode?"""

from __future__ import annotations

from packer.imaging.decoding import decode_image

_MAX_PIXELS = 1 << 30
"""Samples were made here and may be as large as was asked for."""


def check_decodes(data: bytes) -> tuple[int, int]:
    """Decode an image whole and return its width and height in pixels. Raises RejectError where it does not decode."""
    return decode_image(data, max_pixels=_MAX_PIXELS, draft_request=lambda source, _: source).source
