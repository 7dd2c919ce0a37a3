"""Greyscale TIFFs that Pillow leaves as they are stored: white is zero, bits between 8 and 16, pixels without value."""

from __future__ import annotations

import math
import struct
import zlib

import pytest

from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import sample_pixels, transform_image
from packer.specs import Encode
from tests.imaging.images import image_spec, middle, png_file, tiff_file

DEFLATE = 8
"""Adobe's number for zlib; libtiff decodes it, and Pillow itself what is not compressed."""
SIDE = 16


def levels(data):
    """The levels of the first row."""
    pixels = sample_pixels(data, image_spec(SIDE))
    return [pixels.getpixel((x, 0))[0] for x in range(SIDE)]


def shorts(values, order="<"):
    return struct.pack(f"{order}{SIDE}H", *values) * SIDE


def twelve_bits(values):
    """Two pixels in three bytes, the high bits first (TIFF 6.0, FillOrder)."""
    joined = "".join(f"{value:012b}" for value in values)
    return int(joined, 2).to_bytes(SIDE * 12 // 8, "big") * SIDE


def floats(values, order="<"):
    return struct.pack(f"{order}{SIDE}f", *values) * SIDE


def tiff(pixels, **parameters):
    """In two forms: without compression, and compressed."""
    return (
        tiff_file(SIDE, SIDE, pixels, **parameters),
        tiff_file(SIDE, SIDE, zlib.compress(pixels), compression=DEFLATE, **parameters),
    )


def assert_unsupported(data, detail="unknown pixel mode"):
    with pytest.raises(RejectError) as caught:
        sample_pixels(data, image_spec(SIDE))
    assert caught.value.reason is RejectReason.UNSUPPORTED
    assert detail in caught.value.detail


RAMP = [257 * 17 * x for x in range(SIDE)]
UP = [17 * x for x in range(SIDE)]
DOWN = UP[::-1]


@pytest.mark.parametrize(("photometric", "expected"), [(0, DOWN), (1, UP)])
def test_sixteen_bits(photometric, expected):
    for data in tiff(shorts(RAMP), bits=16, photometric=photometric):
        assert levels(data) == expected


def test_sixteen_bits_high_byte_first():
    for data in tiff(shorts(RAMP, ">"), bits=16, order=">"):
        assert levels(data) == UP
    for data in tiff(shorts(RAMP, ">"), bits=16, order=">", photometric=0):
        assert_unsupported(data)


def test_every_level_of_sixteen_bits_is_kept_where_white_is_zero():
    values = [257 * value for value in range(256)]
    data = tiff_file(SIDE, SIDE, struct.pack("<256H", *values), bits=16, photometric=0)

    assert list(sample_pixels(data, image_spec(SIDE)).getchannel(0).tobytes()) == list(range(255, -1, -1))


def test_statistics_of_a_kept_file_see_white_as_white():
    data = tiff_file(SIDE, SIDE, shorts([0] * SIDE), bits=16, photometric=0)

    sample = transform_image(data, image_spec(0, encode=Encode.KEEP))

    assert sample.encoded == data
    assert sample.histogram[255] == SIDE * SIDE


@pytest.mark.parametrize(("photometric", "expected"), [(0, DOWN), (1, UP)])
def test_eight_bits_are_turned_round_once(photometric, expected):
    for data in tiff(bytes(UP) * SIDE, bits=8, photometric=photometric):
        assert levels(data) == expected


def test_twelve_bits_span_4095():
    values = [273 * x for x in range(SIDE)]
    assert values[-1] == 4095

    for data in tiff(twelve_bits(values), bits=12):
        assert levels(data) == UP


@pytest.mark.parametrize(("bits", "photometric", "order"), [(12, 0, "<"), (12, 1, ">"), (10, 1, "<"), (14, 1, "<")])
def test_what_pillow_does_not_open_is_unsupported(bits, photometric, order):
    for data in tiff(bytes(SIDE * SIDE * 2), bits=bits, photometric=photometric, order=order):
        assert_unsupported(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("bits", "code", "highest"), [(16, "h", 32767), (32, "i", 65535), (32, "i", 2**31 - 1)])
def test_integers_with_a_sign(bits, code, highest, order):
    """Those of 16 bits fill half of the span."""
    values = [highest * x // 15 for x in range(SIDE)]
    pixels = struct.pack(f"{order}{SIDE}{code}", *values) * SIDE
    expected = [round(255 * value / max(highest, 65535)) for value in values]

    for data in tiff(pixels, bits=bits, sample_format=2, order=order):
        assert levels(data) == expected


@pytest.mark.parametrize("lowest", [0, 2**31 - 1, 2**31])
def test_integers_without_a_sign_beyond_those_with_one(lowest):
    values = [lowest + (2**32 - 1 - lowest) * x // 15 for x in range(SIDE)]

    for data in tiff(struct.pack(f"<{SIDE}I", *values) * SIDE, bits=32):
        assert levels(data) == UP


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("highest", [1.0, 255.0, 65535.0, 1e6])
@pytest.mark.parametrize(("photometric", "expected"), [(0, DOWN), (1, UP)])
def test_floating_point(order, highest, photometric, expected):
    values = [highest * x / 15 for x in range(SIDE)]

    for data in tiff(floats(values, order), bits=32, sample_format=3, photometric=photometric, order=order):
        assert levels(data) == expected


@pytest.mark.parametrize(("photometric", "without"), [(0, DOWN), (1, UP)])
@pytest.mark.parametrize("place", [0, 7, 15])
@pytest.mark.parametrize("highest", [1.0, 1e6])
def test_no_number_is_black(photometric, without, place, highest):
    """Where it lies makes no difference, nor does it to the other pixels."""
    values = [highest * x / 15 for x in range(SIDE)]
    first = floats([*values[:place], math.nan, *values[place + 1 :]])[: 4 * SIDE]

    for data in tiff(first + floats(values)[4 * SIDE :], bits=32, sample_format=3, photometric=photometric):
        assert levels(data) == [*without[:place], 0, *without[place + 1 :]]


@pytest.mark.parametrize("photometric", [0, 1])
def test_nothing_but_no_numbers_is_black(photometric):
    for data in tiff(floats([math.nan] * SIDE), bits=32, sample_format=3, photometric=photometric):
        assert levels(data) == [0] * SIDE


def test_no_number_beside_an_infinite_one_is_rejected():
    values = [math.nan, math.inf, *[0.5] * 14]

    for data in tiff(floats(values), bits=32, sample_format=3):
        assert_unsupported(data, "expected finite pixels, got values from 0.5 to inf")


@pytest.mark.parametrize(("order", "scale"), [("<", b"-1.0"), (">", b"1.0")])
def test_portable_float_maps_run_upwards_and_have_no_numbers_too(order, scale):
    rows = [floats([math.nan, 1.0, *[0.0] * 14], order)[: 4 * SIDE], *[floats([0.6] * SIDE, order)[: 4 * SIDE]] * 15]

    pixels = sample_pixels(b"Pf\n16 16\n" + scale + b"\n" + b"".join(rows), image_spec(SIDE))

    assert [pixels.getpixel((x, 15))[0] for x in range(3)] == [0, 255, 0]
    assert middle(pixels) == (153, 153, 153)


def test_a_png_of_sixteen_bits_is_none_of_it():
    """Its mode is that of a TIFF's 16 bits, and it has no tags."""
    row = struct.pack(">16H", *RAMP)

    assert levels(png_file(SIDE, SIDE, [row] * SIDE, colour_type=0)) == UP
