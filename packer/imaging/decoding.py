"""From a file's bytes to loaded pixels; every fault of a decoder is a RejectError.

Plain JPEGs, the common case, have a way of their own; Pillow decodes everything else. Its registry is not searched:
`_MODULES` is the whole list of formats, so that neither a plug-in that another library registered nor one that runs a
program (EPS) ever sees a file, and no global pixel limit applies. A JPEG is shrunk by its decoder to no less than twice
the target.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType

from PIL import Image, ImageFile, JpegImagePlugin

from packer.imaging.chatter import captured_stderr, without_warnings
from packer.imaging.faults import JPEG_END, is_cut, rejecting
from packer.imaging.geometry import Extent, Size
from packer.imaging.heif import has_avif_brand
from packer.imaging.jpeg import decode_jpeg, is_lossless, shrink
from packer.imaging.jpegheader import read_jpeg_header
from packer.imaging.modes import to_resampled_mode
from packer.imaging.orientation import UPRIGHT, is_transposed, parse_orientation
from packer.imaging.pngkey import low_bytes, match_key
from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.tiff import expect_native_order
from packer.imaging.webp import canvas_pixels

_MODULES: Mapping[str, str] = MappingProxyType(
    {
        "PNG": "PngImagePlugin",
        "GIF": "GifImagePlugin",
        "WEBP": "WebPImagePlugin",
        "TIFF": "TiffImagePlugin",
        "BMP": "BmpImagePlugin",
        "AVIF": "AvifImagePlugin",
        "JPEG2000": "Jpeg2KImagePlugin",
        "PPM": "PpmImagePlugin",
    }
)
"""Formats besides JPEG in the order they are tried, and the modules of Pillow that decode them."""

_PREFIX_BYTES = 16
_PLAIN_FORMATS = frozenset({"JPEG", "PNG", "WEBP"})
"""What every reader of samples decodes."""
_ADOBE = "adobe"
_PNG_DEPTH_AT = 24
"""Where a PNG has its bits per channel: behind the signature and, in IHDR, the two sides (PNG, section 11.2.1)."""
_TIFF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class StoredForm:
    """What an image's own file holds."""

    image_format: str
    """Name in the samples' fields, such as ``jpeg``."""
    size: Size
    """Width and height of its rows and columns, before any orientation."""
    channels: int
    is_plain: bool
    """JPEG, PNG or WebP, and one frame of RGB at 8 bits with no transparent colour."""


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
    data: bytes, *, max_pixels: int, draft_request: Callable[[Size, int], Size], keep_alpha: bool = False
) -> DecodedImage:
    """Decode the first frame of an image file.

    `draft_request` takes size and orientation from the header and returns the size that a decoder may shrink to. With
    `keep_alpha` every image with transparency, greyscale too, is decoded as RGBa, otherwise grey stands on white.

    Raises:
        RejectError: for bytes that are no image, a damaged one, or one of more than `max_pixels` pixels.
        MemoryError: this machine has too little memory for it.
    """
    if not data:
        raise RejectError(RejectReason.EMPTY_FILE, "expected an image, got a file of 0 bytes")
    if decoded := _decode_plain_jpeg(data, max_pixels, draft_request):
        return decoded
    with without_warnings:
        image = _open(data)
        _check_pixels(image.size, max_pixels)
        return _decode(image, data, draft_request, keep_alpha)


def _decode_plain_jpeg(data: bytes, max_pixels: int, draft_request: Callable[[Size, int], Size]) -> DecodedImage | None:
    header = read_jpeg_header(data)
    if header is None:
        return None
    _check_pixels(header.size, max_pixels)
    _check_jpeg_end(data, header.scan_start)
    orientation = parse_orientation(header.exif)
    size, extent = shrink(header.size, draft_request(header.size, orientation))
    pixels = decode_jpeg(data, header.mode, size)
    if pixels is None:
        return None
    is_rgb = header.mode == "RGB"
    return DecodedImage(
        pixels=pixels,
        source=header.size,
        extent=extent,
        stored=StoredForm(image_format="jpeg", size=header.size, channels=3 if is_rgb else 1, is_plain=is_rgb),
        orientation=orientation,
        icc_profile=header.icc_profile,
    )


def _decode(
    image: ImageFile.ImageFile, data: bytes, draft_request: Callable[[Size, int], Size], keep_alpha: bool
) -> DecodedImage:
    source, stored = image.size, _stored_form(image, data)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        _check_jpeg_end(data, image.fp.tell() if image.fp else 0)
        request = draft_request(source, _orientation(image))
        if is_lossless(data):
            extent: Extent = source
            pixels = _decode_whole(image, data, keep_alpha)
        else:
            extent = _shrink(image, request)
            # Tried for its complaints: what is odd about this header may be damage.
            pixels = decode_jpeg(data, image.mode, image.size) or _decode_whole(image, data, keep_alpha)
    else:
        pixels = _decode_whole(image, data, keep_alpha)
        # Pillow turns a TIFF upright while it loads it.
        source = extent = image.size
    return DecodedImage(
        pixels=pixels,
        source=source,
        extent=extent,
        stored=stored,
        # Asked for again, since a PNG may keep its EXIF block behind the pixels.
        orientation=_orientation(image),
        icc_profile=image.info.get("icc_profile"),
    )


def _decode_whole(image: ImageFile.ImageFile, data: bytes, keep_alpha: bool) -> Image.Image:
    """Have Pillow decode."""
    kind = image.format or ""
    num_pixels = image.width * image.height
    with rejecting(kind, data, num_pixels=num_pixels), _quiet(kind):
        if kind == "TIFF":
            expect_native_order(image)
        low = low_bytes(data) if kind == "PNG" else None
        pixels = _load(image)
    _check_png_end(kind, data)
    with rejecting(kind, data, num_pixels=num_pixels):
        if kind == "PNG":
            match_key(pixels, data, low)
        return to_resampled_mode(pixels, keep_alpha=keep_alpha)


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Read the header of the first format that recognises the bytes. Raises RejectError where none does."""
    with without_warnings:
        return _open(data)


def _open(data: bytes) -> ImageFile.ImageFile:
    if data.startswith(b"\xff\xd8\xff"):
        with rejecting("JPEG", data, is_header=True):
            # Not jpeg_factory: it would look for the further pictures of an MPO file.
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        image.decodermaxblock = len(data)  # otherwise the decoder is fed, and its input joined, 64 kB at a time
        return image
    for kind, module in _MODULES.items():
        if kind == "AVIF" and not has_avif_brand(data):
            continue
        factory = _find_factory(kind, module, data[:_PREFIX_BYTES])
        if factory is not None:
            num_pixels = canvas_pixels(data) if kind == "WEBP" else 0
            with rejecting(kind, data, is_header=True, num_pixels=num_pixels), _quiet(kind):
                return factory(io.BytesIO(data), "")
    raise RejectError(
        RejectReason.NOT_AN_IMAGE,
        f"expected JPEG, {', '.join(_MODULES)}, got {len(data):,} bytes beginning with {data[:8].hex(' ')}",
    )


def _stored_form(image: ImageFile.ImageFile, data: bytes) -> StoredForm:
    kind = image.format or ""
    is_plain = kind in _PLAIN_FORMATS and image.mode == "RGB" and "transparency" not in image.info
    if is_plain and kind != "JPEG":
        is_plain = not getattr(image, "is_animated", False) and (kind != "PNG" or data[_PNG_DEPTH_AT] == 8)
    return StoredForm(
        image_format=kind.lower(),
        size=_stored_size(image),
        channels=len(image.getbands()),
        is_plain=is_plain,
    )


def _stored_size(image: ImageFile.ImageFile) -> Size:
    """Undo the exchange of sides that Pillow makes for a TIFF before it has loaded it."""
    tags = getattr(image, "tag_v2", {})
    is_exchanged = image.format == "TIFF" and is_transposed(tags.get(_TIFF_ORIENTATION, UPRIGHT))
    return image.size[::-1] if is_exchanged else image.size


def _load(image: ImageFile.ImageFile) -> Image.Image:
    """Return the first frame; `image` itself as a rule."""
    decoder = image.__dict__.pop("_decoder", None) if image.format == "WEBP" else None
    if decoder is None:
        image.load()
        return image
    # Pillow would keep the decoder, and so its two canvases, while it makes the image from what the decoder returns.
    frame = decoder.get_next()
    del decoder
    if frame is None:
        raise EOFError("its first frame does not decode")
    return Image.frombytes(image.mode, image.size, frame[0], "raw", "RGBX" if image.mode == "RGB" else image.mode)


def _find_factory(kind: str, module: str, prefix: bytes) -> Callable[[io.BytesIO, str], ImageFile.ImageFile] | None:
    """Return what opens `kind` if the file begins as one. Raises RejectError where Pillow lacks the library for it."""
    if kind not in Image.OPEN:
        try:
            importlib.import_module(f"PIL.{module}")
        except ModuleNotFoundError:  # AVIF came with Pillow 11.3.
            return None
    factory, accept = Image.OPEN[kind]
    verdict = accept(prefix) if accept else False
    if isinstance(verdict, str):
        raise RejectError(RejectReason.UNSUPPORTED, f"{kind}: {verdict}")
    return factory if verdict else None


def _shrink(image: JpegImagePlugin.JpegImageFile, request: Size) -> Extent:
    """Have Pillow's decoder halve the picture up to three times; return what the source will measure in its pixels."""
    if image.mode == "CMYK" and _ADOBE not in image.info:
        # Pillow inverts every CMYK JPEG, as Adobe writes them; without Adobe's marker the values are plain ink.
        image.tile = [tile._replace(args=("CMYK", "")) for tile in image.tile]
    drafted = image.draft(None, request)
    return drafted[1][2:] if drafted else image.size


def _orientation(image: ImageFile.ImageFile) -> int:
    return parse_orientation(image.info.get("exif"))


def _quiet(kind: str) -> AbstractContextManager[None]:
    """Only libtiff prints, and only its images pay for keeping it quiet."""
    return captured_stderr() if kind == "TIFF" else nullcontext()


def _check_pixels(size: Size, max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise RejectError(
            RejectReason.TOO_MANY_PIXELS,
            f"expected at most {max_pixels:,} pixels (--max-pixels), got {size[0]}x{size[1]}",
        )


def _check_jpeg_end(data: bytes, scan_start: int) -> None:
    """Look for the end marker behind the header, where a thumbnail has its own; decoders may do without."""
    if data.rfind(JPEG_END, scan_start) < 0:
        raise RejectError(RejectReason.TRUNCATED, "JPEG: expected an end marker (EOI), got the end of the file")


def _check_png_end(kind: str, data: bytes) -> None:
    """Pillow forgives a PNG without its last chunks; a file that was cut is not to be trusted."""
    if kind == "PNG" and is_cut(kind, data):
        raise RejectError(RejectReason.TRUNCATED, "PNG: expected an IEND chunk, got the end of the file")
