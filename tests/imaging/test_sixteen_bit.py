"""Pixels of more than 8 bits are scaled linearly to 8, and none is clipped."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import sample_pixels
from tests.imaging.images import file_of, image_spec, is_near, middle, png_file


def values_of(data, size):
    return list(sample_pixels(data, image_spec(size)).getchannel(0).tobytes())


def flat(mode, value):
    return Image.new(mode, (16, 16), value)


@pytest.mark.parametrize(
    ("value", "expected"), [(0, 0), (128, 0), (129, 1), (257 * 100, 100), (32768, 128), (65406, 254), (65535, 255)]
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_is_divided_by_257_and_rounded(kind, value, expected):
    image = Image.frombytes("I;16", (16, 16), struct.pack("<H", value) * 256)

    assert middle(sample_pixels(file_of(image, kind), image_spec(16))) == (expected,) * 3


def test_big_endian_tiff():
    image = Image.frombytes("I;16B", (16, 16), struct.pack(">H", 257 * 100) * 256)

    assert middle(sample_pixels(file_of(image, "TIFF"), image_spec(16))) == (100, 100, 100)


def test_every_level_of_a_ramp_is_kept():
    """Pillow's own conversion would clip everything above 255 to white."""
    rows = [b"".join(struct.pack(">H", 257 * (16 * y + x)) for x in range(16)) for y in range(16)]

    assert values_of(png_file(16, 16, rows, colour_type=0), 16) == list(range(256))


def test_rgb_png():
    row = b"".join(struct.pack(">3H", 257 * 200, 257 * 3, 257 * 99) for _ in range(16))

    pixels = sample_pixels(png_file(16, 16, [row] * 16), image_spec(16))

    assert middle(pixels) == (200, 3, 99)


def test_sixteen_bit_ppm():
    header = b"P6 8 8 65535\n"

    pixels = sample_pixels(header + struct.pack(">3H", 257 * 200, 257 * 3, 257 * 99) * 64, image_spec(8))

    assert is_near(middle(pixels), (200, 3, 99), 1)


def test_a_pgm_of_other_depth_is_scaled_to_its_own_maximum():
    data = b"P5 8 8 1023\n" + struct.pack(">H", 1023) * 64

    assert middle(sample_pixels(data, image_spec(8))) == (255, 255, 255)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 65535, (0, 255)), (0, 257 * 40, (0, 40)), (-1000, 1000, (0, 255)), (70_000, 90_000, (0, 255))],
)
def test_thirty_two_bit_integers(low, high, expected):
    image = flat("I", low)
    image.paste(high, (8, 0, 16, 16))

    pixels = sample_pixels(file_of(image, "TIFF"), image_spec(16))

    assert (pixels.getpixel((0, 8))[0], pixels.getpixel((15, 8))[0]) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (0, 255)),
        (0.0, 0.5, (0, 128)),
        (0.0, 200.0, (0, 200)),
        (0.0, 257.0 * 40, (0, 40)),
        (-2.0, 2.0, (0, 255)),
    ],
)
def test_floating_point(low, high, expected):
    image = flat("F", low)
    image.paste(high, (8, 0, 16, 16))

    pixels = sample_pixels(file_of(image, "TIFF"), image_spec(16))

    assert (pixels.getpixel((0, 8))[0], pixels.getpixel((15, 8))[0]) == expected


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_infinite_pixels_are_rejected(value):
    image = flat("F", 0.5)
    image.putpixel((3, 3), value)

    with pytest.raises(RejectError, match="expected finite pixels") as caught:
        sample_pixels(file_of(image, "TIFF"), image_spec(16))
    assert caught.value.reason is RejectReason.UNSUPPORTED


def test_an_image_of_one_value_beyond_every_span_is_black():
    assert middle(sample_pixels(file_of(flat("I", 1_000_000), "TIFF"), image_spec(16))) == (0, 0, 0)
