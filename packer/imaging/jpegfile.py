"""JPEG: plain files are read in a tenth of the time that Pillow takes, all others by Pillow, to the same pixels."""

from __future__ import annotations

import io

from PIL import JpegImagePlugin

from packer.imaging.faults import FileFormat
from packer.imaging.geometry import Extent, Size
from packer.imaging.jpeg import JPEG_END, decode_jpeg, shrink
from packer.imaging.jpegheader import JpegHeader, read_jpeg_header
from packer.imaging.jpegmarkers import check_header, check_scans, is_lossless
from packer.imaging.orientation import find_orientation
from packer.imaging.pillowimage import DraftRequest, LoadedPixels, OpenedImage, PillowImage, StoredForm
from packer.imaging.rejects import RejectError, RejectReason

_ADOBE = "adobe"
_SIGNATURE = b"\xff\xd8\xff"


class JpegImage(OpenedImage):
    """A plain JPEG (`read_jpeg_header`)."""

    def __init__(self, data: bytes, header: JpegHeader) -> None:
        self._data = data
        self._header = header

    @classmethod
    def open(cls, data: bytes) -> OpenedImage | None:
        """See `OpenedImage.open`; a JPEG that is not plain is Pillow's."""
        if not data.startswith(_SIGNATURE):
            return None
        header = read_jpeg_header(data)
        if header is None:
            return _PillowJpeg.open(data)
        if header.has_many_scans:
            check_scans(data)
        return cls(data, header)

    @property
    def size(self) -> Size:
        return self._header.size

    @property
    def stored(self) -> StoredForm:
        is_rgb = self._header.mode == "RGB"
        return StoredForm(image_format="jpeg", size=self.size, channels=3 if is_rgb else 1, is_plain=is_rgb)

    @property
    def orientation(self) -> int:
        return find_orientation(self._header.exif, self._header.xmp)

    @property
    def icc_profile(self) -> bytes | None:
        return self._header.icc_profile

    def check_end(self) -> None:
        _check_end(self._data, self._header.scan_start)

    def load(self, draft_request: DraftRequest, *, keep_alpha: bool) -> LoadedPixels:
        """See `OpenedImage.load`."""
        size, extent = shrink(self.size, draft_request(self.size, self.orientation))
        pixels = decode_jpeg(self._data, self._header.mode, size)
        if pixels is not None:
            return LoadedPixels(pixels, extent)
        return _PillowJpeg.open(self._data).load(draft_request, keep_alpha=keep_alpha)


class _PillowJpeg(PillowImage):
    """Any other JPEG: CMYK, lossless, or with an odd header."""

    format = FileFormat("JPEG", is_cut=lambda data: not data.rstrip(b"\0").endswith(JPEG_END))
    module = "JpegImagePlugin"
    _can_be_plain = True
    _image: JpegImagePlugin.JpegImageFile

    @classmethod
    def open(cls, data: bytes) -> _PillowJpeg:
        """See `OpenedImage.open`; for bytes that begin as a JPEG does."""
        check_header(data)
        with cls._decoding(data, is_header=True):
            # Not jpeg_factory: it would look for the further pictures of an MPO file.
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        image.decodermaxblock = len(data)  # otherwise the decoder is fed, and its input joined, 64 kB at a time
        return cls(data, image)

    @property
    def size(self) -> Size:
        return self._stored.size

    def check_end(self) -> None:
        _check_end(self._data, self._image.fp.tell() if self._image.fp else 0)

    def load(self, draft_request: DraftRequest, *, keep_alpha: bool) -> LoadedPixels:
        """See `OpenedImage.load`."""
        request = draft_request(self.size, self.orientation)
        if is_lossless(self._data):
            return LoadedPixels(self._load_whole(keep_alpha=keep_alpha), extent=self.size)
        extent = self._shrink(request)
        # Tried for its complaints: what is odd about this header may be damage.
        pixels = decode_jpeg(self._data, self._image.mode, self._image.size)
        return LoadedPixels(pixels or self._load_whole(keep_alpha=keep_alpha), extent)

    def _shrink(self, request: Size) -> Extent:
        """Have the decoder halve the picture up to three times; return what the source will measure in its pixels."""
        image = self._image
        if image.mode == "CMYK" and _ADOBE not in image.info:
            # Pillow inverts every CMYK JPEG, as Adobe writes them; without Adobe's marker the values are plain ink.
            image.tile = [tile._replace(args=("CMYK", "")) for tile in image.tile]
        drafted = image.draft(None, request)
        return drafted[1][2:] if drafted else image.size

    def _has_plain_frame(self) -> bool:
        return True


def _check_end(data: bytes, scan_start: int) -> None:
    """Look for the end marker behind the header, where a thumbnail has its own; decoders may do without."""
    if data.rfind(JPEG_END, scan_start) < 0:
        raise RejectError(RejectReason.TRUNCATED, "JPEG: expected an end marker (EOI), got the end of the file")
