"""Bytes that are no image, images that cannot be decoded, and the errors that say so."""

from __future__ import annotations

import pickle
import random
import struct
import zlib

import pytest
from PIL import Image

from packer.errors import PackerError
from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import transform_image
from tests.imaging.images import file_of, image_spec, png_chunk


def rejected(data):
    with pytest.raises(RejectError) as caught:
        transform_image(data, image_spec())
    return caught.value


def test_an_empty_file():
    assert rejected(b"").reason is RejectReason.EMPTY_FILE


@pytest.mark.parametrize(
    "data",
    [
        b"a",
        b"<html><body>404 Not Found</body></html>",
        b"BMW is a maker of cars, not of bitmaps, whatever it begins with",
        b"P6 is also how a sentence may begin",
        b"%PDF-1.7 and so on",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        b"PK\x03\x04" + bytes(100),
        bytes(1000),
        b"\xff\xd8",
        b"\x89PNG",
    ],
)
def test_what_is_no_image(data):
    error = rejected(data)

    assert error.reason is RejectReason.NOT_AN_IMAGE


def test_the_message_shows_how_the_bytes_begin():
    assert str(rejected(b"hello")) == (
        "not_an_image: expected JPEG, PNG, GIF, WEBP, TIFF, BMP, AVIF, JPEG2000, PPM, got 5 bytes beginning with "
        "68 65 6c 6c 6f"
    )


def test_a_twelve_bit_jpeg_is_unsupported():
    data = bytearray(file_of(Image.new("L", (16, 16)), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12

    error = rejected(bytes(data))

    assert error.reason is RejectReason.UNSUPPORTED
    assert error.detail == "JPEG: cannot handle 12-bit layers"


def test_a_jpeg_of_no_size_is_corrupt():
    data = bytearray(file_of(Image.new("L", (16, 16)), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = bytes(4)

    assert rejected(bytes(data)).reason is RejectReason.CORRUPT


def test_a_png_that_is_damaged_anywhere_in_its_pixels_is_corrupt():
    """Of some places the compression's checksum tells, of others the decoder in words of its own."""
    noise = Image.frombytes("L", (64, 64), random.Random(0).randbytes(64 * 64))
    whole = file_of(noise, "PNG")
    for at in range(whole.index(b"IDAT") + 4, len(whole) - 16, 7):
        data = bytearray(whole)
        data[at] ^= 0xFF
        assert rejected(bytes(data)).reason is RejectReason.CORRUPT, at


def test_a_png_with_a_filter_of_no_known_type_is_corrupt():
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\x09" + bytes(64)) * 64)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    error = rejected(b"\x89PNG\r\n\x1a\n" + chunks)
    assert error.reason is RejectReason.CORRUPT
    assert "unrecognized data stream" in error.detail


def test_formats_that_run_programs_are_never_opened(tmp_path):
    """Pillow hands EPS to Ghostscript; here it is no image even when another library has loaded that plug-in."""
    from PIL import EpsImagePlugin

    assert "EPS" in Image.OPEN
    assert EpsImagePlugin.EpsImageFile.format == "EPS"
    assert rejected(b"%!PS-Adobe-3.0 EPSF-3.0\n").reason is RejectReason.NOT_AN_IMAGE


def test_errors_survive_pickling():
    error = RejectError(RejectReason.CORRUPT, "JPEG: broken data stream")

    copy = pickle.loads(pickle.dumps(error))

    assert isinstance(copy, PackerError)
    assert (copy.reason, copy.detail, str(copy)) == (error.reason, error.detail, "corrupt: JPEG: broken data stream")


def test_a_decoders_error_pickles_too():
    error = rejected(file_of(Image.new("RGB", (64, 64)), "JPEG")[:300])

    assert pickle.loads(pickle.dumps(error)).reason is error.reason
