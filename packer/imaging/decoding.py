"""From a file's bytes to loaded pixels; every fault of a decoder is a RejectError.

What differs between formats is in the class of each (`imageformats.FORMATS`); what is asked of them is here. A JPEG is
shrunk by its decoder to no less than twice the target.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from packer.imaging.geometry import Extent, Size
from packer.imaging.imageformats import open_image
from packer.imaging.pillowimage import DraftRequest, StoredForm
from packer.imaging.rejects import RejectError, RejectReason


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image's first frame as it is stored, before its orientation is applied."""

    pixels: Image.Image
    """Of mode L, RGB, RGBX, RGBa (premultiplied) or CMYK."""
    source: Size
    """Width and height of the image at full size."""
    extent: Extent
    """What the source measures in `pixels`: its size, unless the decoder shrank it."""
    stored: StoredForm
    orientation: int
    """EXIF orientation, 1 to 8."""
    icc_profile: bytes | None


def decode_image(
    data: bytes, *, max_pixels: int, draft_request: DraftRequest, keep_alpha: bool = False
) -> DecodedImage:
    """Decode the first frame of an image file.

    `draft_request` takes size and orientation from the header and returns the size that a decoder may shrink to. With
    `keep_alpha` every image with transparency, greyscale too, is decoded as RGBa, otherwise it stands on white.

    Raises:
        RejectError: for bytes that are no image, a damaged one, or one of more than `max_pixels` pixels.
        MemoryError: this machine has too little memory for it.
    """
    image = open_image(data)
    _check_pixels(image.size, max_pixels)
    image.check_end()
    loaded = image.load(draft_request, keep_alpha=keep_alpha)
    return DecodedImage(
        pixels=loaded.pixels,
        source=image.size,
        extent=loaded.extent,
        stored=image.stored,
        orientation=image.orientation,
        icc_profile=image.icc_profile,
    )


def _check_pixels(size: Size, max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise RejectError(
            RejectReason.TOO_MANY_PIXELS,
            f"expected at most {max_pixels:,} pixels (`max_pixels`), got {size[0]}x{size[1]}",
        )
