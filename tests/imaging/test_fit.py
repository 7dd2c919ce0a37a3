"""Every fit on real files: exact sizes, and gradients that show a shift of half a pixel."""

from __future__ import annotations

import pytest
from PIL import Image

from packer.imaging.transform import sample_pixels, transform_image
from packer.specs import Fit
from tests.imaging.images import file_of, image_spec, ramp


def reds(pixels, y):
    return [pixels.getpixel((x, y))[0] for x in range(pixels.width)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("fit", "width", "height", "expected"),
    [
        (Fit.SHORT, 50, 50, (67, 50)),
        (Fit.LONG, 50, 50, (50, 38)),
        (Fit.COVER, 50, 70, (50, 70)),
        (Fit.CONTAIN, 50, 70, (50, 70)),
        (Fit.STRETCH, 50, 70, (50, 70)),
        (Fit.SHORT, 700, 700, (933, 700)),
        (Fit.CONTAIN, 700, 700, (700, 700)),
    ],
)
def test_sizes(kind, fit, width, height, expected):
    sample = transform_image(file_of(Image.new("RGB", (400, 300)), kind), image_spec(width, height, fit=fit))

    assert (sample.width, sample.height) == expected
    assert sum(sample.histogram) == 3 * expected[0] * expected[1]


def test_three_columns_become_their_middle_one():
    """Columns 3i, 3i + 1 and 3i + 2 of a ramp have the mean 3i + 1, and any shift another."""
    pixels = sample_pixels(file_of(ramp(240, 240), "PNG"), image_spec(80))

    assert reds(pixels, 40)[4:-4] == [3 * x + 1 for x in range(4, 76)]


def test_the_edges_of_a_ramp_are_those_of_lanczos():
    source = ramp(240, 240)
    expected = source.resize((80, 80), Image.Resampling.LANCZOS)

    pixels = sample_pixels(file_of(source, "PNG"), image_spec(80))

    row = reds(pixels, 40)
    for x in (0, 1, 2, 77, 78, 79):
        assert abs(row[x] - expected.getpixel((x, 40))) <= 1


def test_cover_takes_the_middle():
    """Of 240 columns 60 are used, [90, 150)."""
    pixels = sample_pixels(file_of(ramp(240, 60), "PNG"), image_spec(20, 20, fit=Fit.COVER))

    assert reds(pixels, 10) == [90 + 3 * x + 1 for x in range(20)]


def test_cover_takes_the_middle_upright_too():
    upright = ramp(240, 60).transpose(Image.Transpose.TRANSPOSE)

    pixels = sample_pixels(file_of(upright, "PNG"), image_spec(20, 20, fit=Fit.COVER))

    assert [pixels.getpixel((10, y))[0] for y in range(20)] == [90 + 3 * y + 1 for y in range(20)]


def test_contain_pads_with_black():
    bright = ramp(240, 120).point(lambda value: 15 + value)

    pixels = sample_pixels(file_of(bright, "PNG"), image_spec(80, 80, fit=Fit.CONTAIN))

    assert reds(pixels, 19) == [0] * 80
    assert reds(pixels, 20)[4:-4] == [15 + 3 * x + 1 for x in range(4, 76)]
    assert reds(pixels, 59)[4:-4] == [15 + 3 * x + 1 for x in range(4, 76)]
    assert reds(pixels, 60) == [0] * 80


def test_stretch_squeezes_each_axis_by_itself():
    pixels = sample_pixels(file_of(ramp(240, 60), "PNG"), image_spec(80, 30, fit=Fit.STRETCH))

    assert reds(pixels, 15)[4:-4] == [3 * x + 1 for x in range(4, 76)]


@pytest.mark.parametrize("fit", [Fit.STRETCH, Fit.COVER])
@pytest.mark.parametrize("size", [(505, 505), (497, 505), (511, 497)])
def test_a_shrunk_jpeg_has_its_pixels_where_a_whole_one_has_them(fit, size):
    """An eighth of 505 is 63.125: the decoder gives 64 columns, and the last is mostly padding."""
    source = ramp(256, 256).resize(size, Image.Resampling.BILINEAR)
    spec = image_spec(31, 29, fit=fit)

    shrunk = sample_pixels(file_of(source, "JPEG", quality=100), spec)
    whole = sample_pixels(file_of(source, "PNG"), spec)

    assert all(abs(a - b) <= 1 for y in (0, 14, 28) for a, b in zip(reds(shrunk, y), reds(whole, y), strict=True))


def test_a_size_that_fits_already_is_left_alone():
    source = ramp(64, 64, "RGB")

    assert sample_pixels(file_of(source, "PNG"), image_spec(64)).tobytes() == source.tobytes()
