"""Orientations outside of a plain EXIF block: they count as they do for Pillow's `ImageOps.exif_transpose`."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin, features

from packer.imaging.decoding import decode_image
from packer.imaging.jpegheader import read_jpeg_header
from packer.imaging.library_messages import without_warnings
from packer.imaging.orientation import apply_orientation, find_orientation
from packer.imaging.transform import sample_pixels
from packer.specs import Encode
from tests.imaging.images import QUADRANTS, are_near, exif_block, file_of, image_spec, quadrant_colours
from tests.imaging.test_exif import stored

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
KINDS = ["JPEG", "PNG", "WEBP", "TIFF", pytest.param("AVIF", marks=needs_avif)]


def xmp(orientation, *, as_element=False):
    inside = f"<tiff:Orientation>{orientation}</tiff:Orientation>" if as_element else ""
    attribute = "" if as_element else f' tiff:Orientation="{orientation}"'
    text = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description{attribute}>{inside}</rdf:Description></x:xmpmeta>'
    return text.encode()


def file_with(picture, kind, *, exif=None, packet=None):
    """A file of any kind with an EXIF block and an XMP packet."""
    parameters = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind in ("JPEG", "AVIF") else {}
    if exif is not None:
        parameters["exif"] = b"Exif\0\0" + exif
    if packet is not None and kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode())
        parameters["pnginfo"] = text
    elif packet is not None and kind == "TIFF":
        parameters["tiffinfo"] = {700: packet}
    elif packet is not None:
        parameters["xmp"] = packet
    return file_of(picture, kind, **parameters)


def text_png(picture, block, *, name="exif", hidden_length=None):
    """A PNG with its EXIF as text, as ImageMagick writes it."""
    text = PngImagePlugin.PngInfo()
    length = len(block) if hidden_length is None else hidden_length
    digits = block.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text.add_text("Raw profile type exif", f"\n{name}\n{length:8}\n{lines}\n", zip=True)
    return file_of(picture, "PNG", pnginfo=text)


@pytest.mark.parametrize("as_element", [False, True], ids=["attribute", "element"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_xmp_turns_a_picture(kind, orientation, as_element):
    data = file_with(stored(orientation), kind, packet=xmp(orientation, as_element=as_element))

    pixels = sample_pixels(data, image_spec(60))

    assert pixels.size == (80, 60)
    assert are_near(quadrant_colours(pixels), QUADRANTS, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pngs_exif_as_text_turns_a_picture(orientation):
    for block in (exif_block(orientation), b"Exif\0\0" + exif_block(orientation)):
        pixels = sample_pixels(text_png(stored(orientation), block), image_spec(60))

        assert pixels.size == (80, 60)
        assert are_near(quadrant_colours(pixels), QUADRANTS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("exif", "packet"), [(3, 6), (1, 6), (None, 6), (6, None), (9, 6), (8, 1)])
def test_exif_goes_before_xmp_as_with_pillow(kind, exif, packet):
    """Also where it says something that means nothing."""
    block = None if exif is None else exif_block(exif)
    data = file_with(stored(1), kind, exif=block, packet=None if packet is None else xmp(packet))
    check_like_pillow(data)


def check_like_pillow(data):
    spec = image_spec(0, encode=Encode.KEEP)
    decoded = decode_image(data, max_pixels=spec.max_pixels, draft_request=lambda source, _: source)
    with without_warnings, Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image)
    assert apply_orientation(decoded.pixels, decoded.orientation).convert("RGB").tobytes() == expected.tobytes()


@pytest.mark.parametrize("digits", ["zz", "4", "45786966", ""])
def test_text_that_is_no_block_is_upright(digits):
    assert find_orientation(f"\nexif\n 9\n{digits}\n", None) == 1
    assert find_orientation(digits, None) == 1
    assert find_orientation(digits, xmp(6)) == 6


LARGE_TYPES = (5, 10, 12, 16)
"""Those of eight bytes, whose value lies elsewhere."""


@given(
    kind=st.integers(0, 18).filter(lambda kind: kind not in LARGE_TYPES),
    count=st.integers(0, 1),
    value=st.binary(min_size=4, max_size=4),
    repeats=st.booleans(),
)
def test_any_type_of_the_tag_counts_as_for_pillow(kind, count, value, repeats):
    entry = struct.pack("<HHI", 0x0112, kind, count) + value
    entries = [struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), entry] if repeats else [entry]
    block = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(64)
    exif = Image.Exif()
    with without_warnings:
        exif.load(block)
    expected = exif.get(0x0112)
    if expected is None:
        assert find_orientation(block, xmp(5)) == 5
    else:
        assert find_orientation(block, xmp(5)) == (expected if expected in range(1, 9) else 1)


def test_a_jpegs_packet_is_read_without_pillow():
    data = file_with(stored(6), "JPEG", packet=xmp(6))
    header = read_jpeg_header(data)
    assert header is not None
    assert header.xmp == xmp(6)
