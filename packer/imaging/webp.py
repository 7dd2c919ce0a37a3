"""WebP, whose decoder in Pillow allocates its canvases before it tells their size."""

from __future__ import annotations

from PIL import Image

from packer.imaging.faults import FileFormat
from packer.imaging.pillowimage import PillowImage

_LARGEST = 1 << 14
"""Most pixels on a side."""


class WebpImage(PillowImage):
    format = FileFormat("WEBP", is_cut=lambda data: int.from_bytes(data[4:8], "little") + 8 > len(data))
    module = "WebPImagePlugin"
    _can_be_plain = True

    @classmethod
    def _claimed_pixels(cls, data: bytes) -> int:
        return canvas_pixels(data)

    def _load_frame(self) -> Image.Image:
        decoder = self._image.__dict__.pop("_decoder", None)
        if decoder is None:
            return super()._load_frame()
        # Pillow would keep the decoder, and so its two canvases, while it makes the image from what that returns.
        frame = decoder.get_next()
        del decoder
        if frame is None:
            raise EOFError("its first frame does not decode")
        mode = self._image.mode
        return Image.frombytes(mode, self._image.size, frame[0], "raw", "RGBX" if mode == "RGB" else mode)


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
