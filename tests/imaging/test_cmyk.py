"""CMYK in its disguises: Adobe's inverted JPEG, YCCK, a JPEG without Adobe's marker, TIFF, and with a profile."""

from __future__ import annotations

import pytest
from PIL import Image

from packer.imaging.transform import sample_pixels
from tests.imaging.images import cyan_is_grey_profile, file_of, image_spec, is_near, middle

INK = (200, 100, 50, 30)
INK_AS_RGB = tuple((255 - 30) * (255 - ink) // 255 for ink in INK[:3])


def cmyk_jpeg(ink, **parameters):
    return file_of(Image.new("CMYK", (64, 64), ink), "JPEG", quality=100, **parameters)


def adobe_segment(data):
    start = data.index(b"\xff\xee\x00\x0eAdobe")
    return slice(start, start + 16)


def test_adobe_jpeg_is_inverted():
    assert is_near(middle(sample_pixels(cmyk_jpeg(INK), image_spec(16))), INK_AS_RGB)


def test_no_ink_is_white():
    assert middle(sample_pixels(cmyk_jpeg((0, 0, 0, 0)), image_spec(16))) == (255, 255, 255)


def test_a_shrunk_jpeg_has_the_same_colours():
    data = file_of(Image.new("CMYK", (1024, 1024), INK), "JPEG", quality=100)

    assert is_near(middle(sample_pixels(data, image_spec(16))), INK_AS_RGB)


def test_jpeg_without_adobes_marker_holds_plain_ink():
    data = cmyk_jpeg(tuple(255 - ink for ink in INK))
    segment = adobe_segment(data)

    plain = data[: segment.start] + data[segment.stop :]

    assert is_near(middle(sample_pixels(plain, image_spec(16))), INK_AS_RGB)


def test_ycck_jpeg():
    """Components are luminance and chrominance of the ink, and inverted black; Adobe's marker says transform 2."""
    luminance = Image.new("RGB", (1, 1), INK[:3]).convert("YCbCr").getpixel((0, 0))
    stored = (*luminance, 255 - INK[3])
    data = bytearray(cmyk_jpeg(tuple(255 - value for value in stored)))
    segment = adobe_segment(data)
    assert data[segment.stop - 1] == 0
    data[segment.stop - 1] = 2

    assert is_near(middle(sample_pixels(bytes(data), image_spec(16))), INK_AS_RGB, 3)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_tiff_holds_plain_ink(compression):
    data = file_of(Image.new("CMYK", (64, 64), INK), "TIFF", compression=compression)

    assert is_near(middle(sample_pixels(data, image_spec(16))), INK_AS_RGB, 1)


@pytest.mark.parametrize(("ink", "expected"), [((255, 0, 0, 0), 0), ((0, 255, 255, 255), 255)])
def test_an_embedded_profile_decides_what_ink_looks_like(ink, expected):
    pixels = sample_pixels(cmyk_jpeg(ink, icc_profile=cyan_is_grey_profile()), image_spec(16))

    assert is_near(middle(pixels), (expected,) * 3, 3)


def test_a_broken_profile_is_ignored():
    pixels = sample_pixels(cmyk_jpeg(INK, icc_profile=cyan_is_grey_profile()[:200]), image_spec(16))

    assert is_near(middle(pixels), INK_AS_RGB)
