"""A WebP's size by its own header: Pillow's decoder allocates its canvases before it tells one."""

from __future__ import annotations

_LARGEST = 1 << 14
"""Most pixels on a side."""


def canvas_pixels(data: bytes) -> int:
    """Return the number of pixels that a WebP claims, whether or not it holds them; 0 where it does not say.

    By the first chunk (RFC 9649, sections 2.5 to 2.7): an extended file's canvas, or the one picture's sides, of 14
    bits each.
    """
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif data[12:16] == b"VP8 ":
        width, height = (int.from_bytes(data[at : at + 2], "little") % _LARGEST for at in (26, 28))
    elif data[12:16] == b"VP8L":
        sides = int.from_bytes(data[21:25], "little")
        width, height = sides % _LARGEST + 1, (sides >> 14) % _LARGEST + 1
    else:
        return 0
    return min(width, _LARGEST) * min(height, _LARGEST)
