"""All formats that are decoded, and the one that a file's bytes belong to."""

from __future__ import annotations

from packer.imaging.avif import AvifImage
from packer.imaging.faults import FileFormat
from packer.imaging.jpegfile import JpegImage
from packer.imaging.pillowimage import OpenedImage, PillowImage
from packer.imaging.png import PngImage
from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.tiff import TiffImage
from packer.imaging.webp import WebpImage


class GifImage(PillowImage):
    format = FileFormat("GIF", is_cut=lambda data: not data.rstrip(b"\0").endswith(b";"))
    module = "GifImagePlugin"


class BmpImage(PillowImage):
    format = FileFormat(
        "BMP", is_cut=lambda data: int.from_bytes(data[2:6], "little") > len(data), has_weak_signature=True
    )
    module = "BmpImagePlugin"


class Jpeg2000Image(PillowImage):
    format = FileFormat("JPEG2000")
    module = "Jpeg2KImagePlugin"


class PpmImage(PillowImage):
    format = FileFormat("PPM", has_weak_signature=True)
    module = "PpmImagePlugin"


FORMATS: tuple[type[OpenedImage], ...] = (
    JpegImage,
    PngImage,
    GifImage,
    WebpImage,
    TiffImage,
    BmpImage,
    AvifImage,
    Jpeg2000Image,
    PpmImage,
)
"""In the order they are tried."""

_NAMES = "JPEG, PNG, GIF, WEBP, TIFF, BMP, AVIF, JPEG2000, PPM"


def open_image(data: bytes) -> OpenedImage:
    """Read the header of an image file by the first format that recognises it. Raises RejectError where none does."""
    for image_format in FORMATS:
        if image := image_format.open(data):
            return image
    if not data:
        raise RejectError(RejectReason.EMPTY_FILE, "expected an image, got a file of 0 bytes")
    raise RejectError(
        RejectReason.NOT_AN_IMAGE,
        f"expected {_NAMES}, got {len(data):,} bytes beginning with {data[:8].hex(' ')}",
    )
