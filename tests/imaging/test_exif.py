"""The EXIF orientation: all eight, in every container that has it, through every fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from packer.imaging.orientation import find_orientation
from packer.imaging.transform import sample_pixels
from packer.specs import Fit
from tests.imaging.images import (
    QUADRANTS,
    are_near,
    exif_block,
    file_of,
    image_spec,
    png_chunk,
    png_file,
    quadrant_colours,
    quadrants,
)

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")

UNDO = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What a camera does to an upright picture before it writes that orientation."""


def stored(orientation, width=160, height=120):
    image = quadrants(width, height)
    return image if UNDO[orientation] is None else image.transpose(UNDO[orientation])


def exif_file(orientation, kind="JPEG", *, order="<", **size):
    parameters = {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    block = b"Exif\0\0" + exif_block(orientation, order)
    return file_of(stored(orientation, **size), kind, exif=block, **parameters)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_jpeg_is_turned_upright(orientation, order):
    pixels = sample_pixels(exif_file(orientation, order=order), image_spec(60))

    assert pixels.size == (80, 60)
    assert are_near(quadrant_colours(pixels), QUADRANTS, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("fit", "width", "height", "expected"),
    [
        (Fit.SHORT, 30, 30, (40, 30)),
        (Fit.LONG, 40, 40, (40, 30)),
        (Fit.COVER, 40, 20, (40, 20)),
        (Fit.CONTAIN, 20, 40, (20, 40)),
        (Fit.STRETCH, 10, 40, (10, 40)),
    ],
)
def test_the_request_is_for_the_upright_picture(orientation, fit, width, height, expected):
    """Large enough for the decoder to shrink it first."""
    data = exif_file(orientation, width=640, height=480)

    pixels = sample_pixels(data, image_spec(width, height, fit=fit))

    assert pixels.size == expected
    if fit is Fit.CONTAIN:
        assert pixels.getpixel((10, 11)) == pixels.getpixel((10, 27)) == (0, 0, 0)
        pixels = pixels.crop((0, 12, 20, 27))
    assert are_near(quadrant_colours(pixels), QUADRANTS, 8)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", pytest.param("AVIF", marks=needs_avif)])
def test_other_containers(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    parameters = {"lossless": True} if kind == "WEBP" else {}

    pixels = sample_pixels(file_of(stored(orientation), kind, exif=exif, **parameters), image_spec(60))

    assert pixels.size == (80, 60)
    assert are_near(quadrant_colours(pixels), QUADRANTS, 8 if kind == "AVIF" else 2)


def test_a_png_may_keep_its_exif_behind_the_pixels():
    rows = [bytes((x, x, x)) * 1 for x in (10, 200)]
    data = png_file(1, 2, rows, bits=8, behind=png_chunk(b"eXIf", exif_block(6)))

    pixels = sample_pixels(data, image_spec(1))

    assert [pixels.getpixel((x, 0))[0] for x in (0, 1)] == [200, 10]


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist_are_upright(orientation):
    assert find_orientation(exif_block(orientation), None) == 1


def test_every_cut_block_is_upright_or_right():
    block = exif_block(6)

    assert {find_orientation(block[:end], None) for end in range(len(block))} <= {1, 6}
    assert find_orientation(block, None) == find_orientation(b"Exif\0\0" + block, None) == 6
    assert find_orientation(None, None) == 1


@given(st.binary(max_size=64), st.sampled_from([b"", b"II*\0", b"MM\0*", b"Exif\0\0II*\0\x08\0\0\0"]))
def test_any_bytes_give_an_orientation(tail, head):
    assert find_orientation(head + tail, None) in range(1, 9)
