"""From an encoded sample to the pixels of a part of it, without a framework."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import simplejpeg

from packer.errors import DataSetError
from packer.formats.container import Sample
from packer.imaging.rejects import RejectError
from packer.reading.crops import Window
from packer.reading.read_spec import BatchSpec
from packer.specs import Alpha, Encode, Fit, ImageSpec

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""RGB [height, width, 3]."""
ChooseWindow: TypeAlias = Callable[[int, int], Window]
"""From height and width of a picture to the window that is wanted."""
CutPicture: TypeAlias = Callable[[Sample, ChooseWindow], Pixels]
"""Returns the pixels of a window, perhaps at a smaller scale. Raises DataSetError where the sample does not decode."""

_DRAFT_FACTOR = 2
"""A decoder may shrink a window to no less than this many times the images of a batch."""


def picture_cutter(image: ImageSpec, batch: BatchSpec) -> CutPicture:
    """Return what decodes samples that were packed as `image` says, for a batch of smaller images.

    Pictures that were kept as they were come turned upright, as sRGB, over white, and no larger than is needed.
    """
    if image.encode is Encode.JPEG:
        return lambda sample, choose: _cut_jpeg(sample, choose, _DRAFT_FACTOR * batch.image_px)
    spec = msgspec.structs.replace(image, alpha=Alpha.WHITE)
    if image.keeps_all:
        side = math.ceil(batch.image_px / batch.evaluation_crop)
        spec = msgspec.structs.replace(spec, width=side, height=side, fit=Fit.SHORT)
    return lambda sample, choose: _cut_any(sample, choose, spec)


def _cut_jpeg(sample: Sample, choose: ChooseWindow, least_px: int) -> Pixels:
    """Decode a JPEG, shrunk while its window keeps at least `least_px` on both sides."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(sample.encoded)
        window = choose(height, width)
        least_height = min(height, math.ceil(height * least_px / window.height))
        least_width = min(width, math.ceil(width * least_px / window.width))
        pixels: Pixels = simplejpeg.decode_jpeg(sample.encoded, "RGB", min_height=least_height, min_width=least_width)
    except ValueError as error:
        raise _broken_error(sample, error) from None
    return _cut(pixels, window, scale=(pixels.shape[0] / height, pixels.shape[1] / width))


def decode_sample(encoded: bytes, image: ImageSpec) -> Pixels:
    """Return the pixels of a sample of any encoding, in the size that `image` asks for. Raises RejectError."""
    from packer.imaging.transform import sample_pixels  # Pillow, which readers of JPEG do without

    return np.array(sample_pixels(encoded, image))


def _cut_any(sample: Sample, choose: ChooseWindow, spec: ImageSpec) -> Pixels:
    try:
        pixels = decode_sample(sample.encoded, spec)
    except RejectError as error:
        raise _broken_error(sample, error) from None
    return _cut(pixels, choose(*pixels.shape[:2]), scale=(1.0, 1.0))


def _cut(pixels: Pixels, window: Window, *, scale: tuple[float, float]) -> Pixels:
    top, left = int(window.top * scale[0]), int(window.left * scale[1])
    bottom = math.ceil((window.top + window.height) * scale[0])
    right = math.ceil((window.left + window.width) * scale[1])
    return pixels[top:bottom, left:right]


def _broken_error(sample: Sample, error: Exception) -> DataSetError:
    return DataSetError(
        f"sample {sample.key!r}: expected {sample.image_format or 'an image'} that decodes, found: {error}; "
        "shardpack verify --decode lists all such samples"
    )
