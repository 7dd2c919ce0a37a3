"""The transparent level or colour of a PNG (its chunk tRNS), brought to the depth of the pixels.

A file states it at the depth of its samples. Pillow brings pixels of 2 and 4 bits, and RGB of 16, to 8 bits, but not
the key: a level of 15 would be looked for among 0, 17 ... 255, and of a colour of 16 bits the low bytes among the
pixels' high ones. Grey of 16 bits stays at 16, and is compared as it is.
"""

from __future__ import annotations

import io

from PIL import Image

from packer.imaging.modes import strips

# Places in a PNG, behind the signature and, in IHDR, the two sides (PNG, section 11.2.1).
_DEPTH_AT = 24
_COLOUR_TYPE_AT = 25

_GREY = 0
_RGB = 2
_KEY = "transparency"


def low_bytes(data: bytes) -> Image.Image | None:
    """Return an L image with 255 where the low bytes of a 16-bit RGB PNG differ from its transparent colour's.

    None for a PNG of any other kind, or without a transparent colour. Pixels are decoded, and let go again.
    """
    if (data[_DEPTH_AT], data[_COLOUR_TYPE_AT]) != (16, _RGB):
        return None
    from PIL import PngImagePlugin  # Loaded by the first PNG.

    image = PngImagePlugin.PngImageFile(io.BytesIO(data))
    if _KEY not in image.info:
        return None
    # The high byte comes first in a PNG; who takes it for the low one gets what Pillow leaves out.
    image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    image.load()
    difference = Image.new("L", image.size)
    _add_difference(difference, image, [value & 255 for value in image.info[_KEY]])
    return difference


def match_key(image: Image.Image, data: bytes, low: Image.Image | None) -> None:
    """Make the transparent level or colour of a loaded PNG fit its pixels, in place; uses `low` up.

    `low` is what `low_bytes` gave. With it, RGB becomes RGBA.
    """
    depth, colour_type = data[_DEPTH_AT], data[_COLOUR_TYPE_AT]
    if low is not None:
        _add_difference(low, image, [value >> 8 for value in image.info.pop(_KEY)])
        image.putalpha(low)
    elif colour_type == _GREY and depth in (2, 4) and _KEY in image.info:
        highest = (1 << depth) - 1
        image.info[_KEY] = (image.info[_KEY] & highest) * (255 // highest)


def _add_difference(difference: Image.Image, image: Image.Image, colour: list[int]) -> None:
    """Set to 255 what differs from one colour of RGB."""
    for top, strip in strips(image):
        for channel, value in zip(strip.split(), colour, strict=True):
            table = [255] * 256
            table[value] = 0
            difference.paste(255, (0, top), channel.point(table))
