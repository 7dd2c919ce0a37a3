"""PNG: its end, its transparent colour, and what may stand behind its pixels."""

from __future__ import annotations

from PIL import Image

from packer.imaging.faults import FileFormat
from packer.imaging.pillowimage import PillowImage
from packer.imaging.pngkey import low_bytes, match_key
from packer.imaging.rejects import RejectError, RejectReason

_END = b"IEND\xaeB`\x82"
_DEPTH_AT = 24
"""Where a file has its bits per channel: behind the signature and, in IHDR, the two sides (PNG, section 11.2.1)."""


class PngImage(PillowImage):
    format = FileFormat("PNG", is_cut=lambda data: data.rfind(_END) < 0)
    module = "PngImagePlugin"
    _can_be_plain = True

    def check_end(self) -> None:
        """Pillow forgives a PNG without its last chunks; a file that was cut is not to be trusted."""
        if self.format.is_cut(self._data):
            raise RejectError(RejectReason.TRUNCATED, "PNG: expected an IEND chunk, got the end of the file")

    def _load_frame(self) -> Image.Image:
        low = low_bytes(self._data)
        self._image.load()
        match_key(self._image, self._data, low)
        return self._image

    def _has_plain_frame(self) -> bool:
        return super()._has_plain_frame() and self._data[_DEPTH_AT] == 8
