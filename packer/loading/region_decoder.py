"""Crops of JPEGs: the compiled part decodes only the needed region, and `whole_decoder` scales it.

Pixels equal those of the whole picture decoded by the same release of libjpeg-turbo. Damage below the window is not
noticed.
"""

from __future__ import annotations

from packer.loading.crop_decoder import CropDecoder, CropWindow, PictureError, PictureSize, Pixels
from packer.loading.jpeg_region import JpegRegions, RegionError, UnsupportedJpegError, load_library
from packer.loading.whole_decoder import CropScaler, ExactWindow, WholeJpegDecoder, shrink_factor


class RegionJpegDecoder:
    """A CropDecoder of JPEG. Pictures that the compiled part does not read, such as CMYK, are decoded whole."""

    decoder_id = "region-1"

    def __init__(self, regions: JpegRegions) -> None:
        self._regions = regions
        self._scaler = CropScaler()
        self._whole = WholeJpegDecoder()

    def read_size(self, encoded: memoryview) -> PictureSize:
        return self._whole.read_size(encoded)

    def decode_crop(self, encoded: memoryview, window: CropWindow, out: Pixels, is_flipped: bool) -> None:
        by = shrink_factor(window, out)
        try:
            region = self._regions.decode(encoded, window, shrink_by=by)
        except UnsupportedJpegError:
            self._whole.decode_crop(encoded, window, out, is_flipped)
            return
        except RegionError as error:
            raise PictureError(str(error)) from None
        top, left = window.top / by - region.top, window.left / by - region.left
        exact = ExactWindow(top, left, window.height / by, window.width / by)
        self._scaler.scale(region.pixels, exact, out, is_flipped)


def find_region_jpeg_decoder() -> CropDecoder | None:
    """Return a decoder for the calling thread; None if the compiled part is not installed."""
    library = load_library()
    return None if library is None else RegionJpegDecoder(JpegRegions(library))
