"""A picture as characters, for terminals with 24-bit colour: each character shows two pixels, one above the other."""

from __future__ import annotations

import io

from PIL import Image, ImageOps


def draw_for_terminal(encoded: bytes, *, width_chars: int) -> str | None:
    """Return lines of at most `width_chars` characters; None for bytes that Pillow cannot draw."""
    try:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB")
    except Exception:  # whatever a decoder raises for a damaged file: there is then nothing to draw
        return None
    width = max(1, min(width_chars, picture.width))
    height = max(1, round(picture.height * width / picture.width / 2)) * 2
    pixels = picture.resize((width, height)).load()
    if pixels is None:
        return None
    lines = (
        "".join(_cell(pixels[x, y], pixels[x, y + 1]) for x in range(width)) + "\x1b[0m" for y in range(0, height, 2)
    )
    return "\n".join(lines)


def _cell(upper: object, lower: object) -> str:
    """Return a half block: its own colour is the upper pixel's, its ground the lower one's (ECMA-48, SGR 38 and 48)."""
    front, ground = (";".join(map(str, pixel)) for pixel in (upper, lower))  # type: ignore[call-overload]
    return f"\x1b[38;2;{front}m\x1b[48;2;{ground}m\u2580"
