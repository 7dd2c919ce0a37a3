"""Greyscale and 1-bit images become RGB with three equal channels."""

from __future__ import annotations

import pytest
from PIL import Image

from packer.imaging.transform import sample_pixels, transform_image
from tests.imaging.images import file_of, image_spec, is_near, middle, ramp


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "PPM", "JPEG2000"])
def test_greyscale_is_repeated_in_three_channels(kind):
    sample = transform_image(file_of(Image.new("L", (90, 60), 77), kind), image_spec(30))

    assert sample.channels == 3
    red, green, blue = (sample.histogram[start : start + 256] for start in (0, 256, 512))
    assert red == green == blue
    assert sum(red[76:79]) == 45 * 30


def test_a_large_greyscale_jpeg_keeps_its_gradient():
    pixels = sample_pixels(file_of(ramp(256, 256).resize((2048, 2048)), "JPEG", quality=95), image_spec(64))

    assert is_near(pixels.getpixel((16, 32)), (66, 66, 66), 2)
    assert is_near(pixels.getpixel((48, 32)), (194, 194, 194), 2)


def test_one_bit_pixels_are_black_and_white():
    image = Image.new("1", (80, 80))
    image.paste(1, (40, 0, 80, 80))

    pixels = sample_pixels(file_of(image, "PNG"), image_spec(40))

    assert pixels.getpixel((5, 20)) == (0, 0, 0)
    assert pixels.getpixel((35, 20)) == (255, 255, 255)


def test_one_bit_pixels_are_averaged():
    image = Image.frombytes("1", (64, 64), bytes((0b01010101,)) * 8 * 64)

    assert is_near(middle(sample_pixels(file_of(image, "PNG"), image_spec(16))), (127, 127, 127), 1)


def test_white_is_zero_tiff_is_inverted():
    image = Image.new("1", (64, 64), 1)

    data = file_of(image, "TIFF", compression="group4")

    assert middle(sample_pixels(data, image_spec(16))) == (255, 255, 255)
