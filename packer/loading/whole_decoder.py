"""Crops by libraries from PyPI: the whole picture is decoded into a reused buffer, then its window is scaled.

libjpeg-turbo (simplejpeg) decodes and cykooz-resizer scales; both release the GIL while they work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import simplejpeg
from cykooz_resizer import CropBox, FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer

from packer.loading.crop_decoder import CropWindow, PictureError, PictureSize, Pixels

_TRIANGLE = ResizeAlg.convolution(FilterType.bilinear)
_DRAFT_FACTOR = 2
"""The decoder may shrink a window only as long as it keeps this many times the wanted size, in width and height."""
_LEAST_SIDE_PX = 64
"""Smaller windows are not shrunk: in a small picture, two of the decoder's scales may give the same size."""
_CHANNELS = 3


class WholeJpegDecoder:
    """A CropDecoder of JPEG."""

    decoder_id = "whole-1"

    def __init__(self) -> None:
        self._scaler = CropScaler()
        self._buffer = np.empty(0, np.uint8)

    def read_size(self, encoded: memoryview) -> PictureSize:
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(encoded)
        except ValueError as error:
            raise PictureError(str(error)) from None
        return PictureSize(int(height), int(width))

    def decode_crop(self, encoded: memoryview, window: CropWindow, out: Pixels, is_flipped: bool) -> None:
        size = self.read_size(encoded)
        by = shrink_factor(window, out)
        height, width = -(-size.height // by), -(-size.width // by)
        if len(self._buffer) < height * width * _CHANNELS:
            self._buffer = np.empty(height * width * _CHANNELS, np.uint8)
        try:
            pixels = simplejpeg.decode_jpeg(encoded, "RGB", min_height=height, min_width=width, buffer=self._buffer)
        except ValueError as error:
            raise PictureError(str(error)) from None
        if pixels.shape[:2] != (height, width):
            raise PictureError(f"expected {width} x {height} pixels, decoded {pixels.shape[1]} x {pixels.shape[0]}")
        exact = ExactWindow(window.top / by, window.left / by, window.height / by, window.width / by)
        self._scaler.scale(pixels, exact, out, is_flipped)


def shrink_factor(window: CropWindow, out: Pixels) -> int:
    """Return by how much the decoder may shrink: 8, 4, 2 or 1, so that the window keeps `_DRAFT_FACTOR` times `out`."""
    most = min(window.height // out.shape[0], window.width // out.shape[1]) // _DRAFT_FACTOR
    if min(window.height, window.width) < _LEAST_SIDE_PX:
        return 1
    return 8 if most >= 8 else 4 if most >= 4 else 2 if most >= 2 else 1


@dataclass(frozen=True, slots=True)
class ExactWindow:
    """A window in fractions of pixels, as it results when a decoder shrinks a window of whole pixels."""

    top: float
    left: float
    height: float
    width: float


class CropScaler:
    """Scales windows of decoded pictures with an antialiased triangle filter; used only by the thread that made it."""

    def __init__(self) -> None:
        self._resizer = Resizer()
        self._scaled = ImageData(1, 1, PixelType.U8x3)

    def scale(self, pixels: Pixels, window: ExactWindow, out: Pixels, is_flipped: bool) -> None:
        """Fill `out` with a window of `pixels`, scaled to the size of `out` and mirrored if `is_flipped`."""
        height, width = out.shape[:2]
        if (self._scaled.height, self._scaled.width) != (height, width):
            self._scaled = ImageData(width, height, PixelType.U8x3)
        # Pass only the window: pixels around it must not contribute, and the resizer copies its input.
        top, left = int(window.top), int(window.left)
        bottom, right = math.ceil(window.top + window.height), math.ceil(window.left + window.width)
        part = pixels[top:bottom, left:right]
        source = ImageData(part.shape[1], part.shape[0], PixelType.U8x3, part.tobytes())
        box = CropBox(
            window.left - left,
            window.top - top,
            min(window.width, part.shape[1] - (window.left - left)),
            min(window.height, part.shape[0] - (window.top - top)),
        )
        self._resizer.resize(source, self._scaled, ResizeOptions(_TRIANGLE, crop_box=box))
        scaled = np.frombuffer(self._scaled.get_buffer(), np.uint8).reshape(out.shape)
        if not is_flipped:
            out[:] = scaled
            return
        for channel in range(_CHANNELS):  # five times as fast as all three channels at once
            out[:, :, channel] = scaled[:, ::-1, channel]
