"""What encoding takes away from a sample's pixels: PSNR between the resized pixels and the encoded ones."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from packer.imaging.transform import sample_pixels
from packer.specs import ImageSpec


def encoding_psnr_db(data: bytes, encoded: bytes, spec: ImageSpec) -> float:
    """Return the PSNR in dB of an encoded sample against its resized pixels before they were encoded.

    10 log10(255^2 / mean squared difference) over all pixels of red, green and blue; what is transparent stands on
    white. Infinite where nothing differs, and of an image that was kept as it was.

    Args:
        data: the image file that `transform_image` made the sample of.
        encoded: the sample.
        spec: what was asked of it.

    Raises:
        RejectError: for an image that cannot become a sample.
    """
    if spec.keeps_all or encoded == data:
        return math.inf
    with Image.open(io.BytesIO(encoded)) as image:
        difference = _levels(image) - _levels(sample_pixels(data, spec))
    error = float(np.mean(np.square(difference)))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _levels(image: Image.Image) -> npt.NDArray[np.float32]:
    """Return float RGB levels in [0, 255]."""
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"), dtype=np.float32)
