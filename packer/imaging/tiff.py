"""TIFF: what libtiff prints is kept off the screen, and what Pillow gets wrong after the header is put right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from PIL import Image, ImageFile

from packer.imaging.faults import FileFormat
from packer.imaging.geometry import Size
from packer.imaging.library_messages import captured_stderr
from packer.imaging.orientation import UPRIGHT, is_transposed
from packer.imaging.pillowimage import PillowImage

_TAG_ORIENTATION = 0x0112
_NATIVE: Mapping[str, str] = MappingProxyType({"F;32BF": "F;32NF", "I;32BS": "I;32NS", "I;16BS": "I;16NS"})
"""By the raw mode of samples whose high byte comes first: the one of samples as this machine has them."""


class TiffImage(PillowImage):
    format = FileFormat("TIFF")
    module = "TiffImagePlugin"

    @property
    def orientation(self) -> int:
        """Pillow turns a TIFF upright while it loads it."""
        return UPRIGHT

    def _load_frame(self) -> Image.Image:
        expect_native_order(self._image)
        return super()._load_frame()

    def _find_stored_size(self) -> Size:
        """Undo the exchange of sides that Pillow makes before it has loaded the pixels."""
        size = self._image.size
        tags = getattr(self._image, "tag_v2", {})
        return size[::-1] if is_transposed(tags.get(_TAG_ORIENTATION, UPRIGHT)) else size

    @classmethod
    @contextmanager
    def _decoding(cls, data: bytes, *, is_header: bool = False, num_pixels: int = 0) -> Iterator[None]:
        """Only libtiff prints, so only TIFFs pay for keeping standard error quiet."""
        with super()._decoding(data, is_header=is_header, num_pixels=num_pixels), captured_stderr():
            yield


def expect_native_order(image: ImageFile.ImageFile) -> None:
    """Have the samples that libtiff returns taken as they are: in this machine's order, whatever the file's is.

    Pillow knows that of 16-bit samples without a sign only, and would turn the bytes of others round once more.
    """
    image.tile = [
        tile._replace(args=(_NATIVE.get(tile.args[0], tile.args[0]), *tile.args[1:]))
        if tile.codec_name == "libtiff" and isinstance(tile.args, tuple)
        else tile
        for tile in image.tile
    ]
