"""Crops of samples of any encoding, decoded by the rules of packing; slower than the decoders of JPEG."""

from __future__ import annotations

import math
from functools import partial

import msgspec
import numpy as np

from packer.imaging.rejects import RejectError
from packer.loading.crop_decoder import CreateDecoder, CropDecoder, CropWindow, PictureError, PictureSize, Pixels
from packer.loading.loader_spec import LoaderSpec
from packer.loading.region_decoder import find_region_jpeg_decoder
from packer.loading.whole_decoder import CropScaler, ExactWindow, WholeJpegDecoder
from packer.specs import Alpha, Encode, Fit, ImageSpec


class PictureDecoder:
    """A CropDecoder of every format that packing reads. Pictures are upright, in sRGB, over a white background."""

    decoder_id = "picture-1"

    def __init__(self, image: ImageSpec) -> None:
        """Args: image: how to transform pictures; its size applies to pictures of another size."""
        self._image = image
        self._scaler = CropScaler()
        self._encoded: memoryview | None = None
        self._pixels: Pixels = np.empty((0, 0, 3), np.uint8)

    def read_size(self, encoded: memoryview) -> PictureSize:
        # The size is known only after decoding.
        self._pixels, self._encoded = self._decode(encoded), encoded
        return PictureSize(*self._pixels.shape[:2])

    def decode_crop(self, encoded: memoryview, window: CropWindow, out: Pixels, is_flipped: bool) -> None:
        pixels = self._pixels if self._encoded is encoded else self._decode(encoded)
        self._encoded = None
        exact = ExactWindow(window.top, window.left, window.height, window.width)
        self._scaler.scale(pixels, exact, out, is_flipped)

    def _decode(self, encoded: memoryview) -> Pixels:
        from packer.imaging.transform import sample_pixels  # imports Pillow, which readers of JPEG do not need

        try:
            return np.array(sample_pixels(bytes(encoded), self._image))
        except RejectError as error:
            raise PictureError(str(error)) from None


def choose_decoder(image: ImageSpec, spec: LoaderSpec) -> CreateDecoder:
    """Return the function that makes decoders for samples packed with `image`, for a loader's crops."""
    if image.encode is Encode.JPEG:
        return create_jpeg_decoder
    over_white = msgspec.structs.replace(image, alpha=Alpha.WHITE)
    if image.keeps_all:
        side = math.ceil(spec.image_px / spec.evaluation_crop)
        over_white = msgspec.structs.replace(over_white, width=side, height=side, fit=Fit.SHORT)
    return partial(_create_picture_decoder, over_white)


def create_jpeg_decoder() -> CropDecoder:
    """Return the best available decoder of JPEG, for the calling thread."""
    return find_region_jpeg_decoder() or WholeJpegDecoder()


def _create_picture_decoder(image: ImageSpec) -> CropDecoder:
    return PictureDecoder(image)
