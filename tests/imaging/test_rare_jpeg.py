"""JPEG's rarer forms: Adobe's colour transforms, other coding processes, scans that are missing, several pictures."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import sample_pixels
from tests.imaging.images import QUADRANTS, are_near, file_of, image_spec, is_near, middle, quadrant_colours, quadrants

COLOUR = (200, 100, 50)
START_OF_SCAN, END = b"\xff\xda", b"\xff\xd9"

# 16x16 pixels, COLOUR in the middle; by cjpeg -arithmetic of libjpeg-turbo 2.1 and libjpeg-turbo 3's lossless and
# 12-bit modes.
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYU"
    "GBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/yQARCAAQ"
    "ABADASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD92+zIWlcs/9k="
)
LOSSLESS = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/8MAEQgAEAAQA1IRAEcRAEIRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAHBf/aAAwDUgBHAEIAAQAApGHMQAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB/9k="
)
TWELVE_BIT = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggLDAsK"
    "DAkKCgr/wQALDAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAADg3/xAAYEAACAwAAAAAAAAAAAAAAAAAADUiGw//aAAgBAQAAPwCb/rcaBdax"
    "EAAtxoF1rEP/AOtxoF1rEQAC3GgXWsT/2Q=="
)


def flat(**parameters):
    return file_of(Image.new("RGB", (64, 64), COLOUR), "JPEG", quality=100, subsampling=0, **parameters)


def without_adobe(data):
    start = data.index(b"\xff\xee\x00\x0eAdobe")
    return data[:start] + data[start + 16 :]


def with_adobe(data, transform):
    return data[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes((transform,)) + data[2:]


@pytest.mark.parametrize("size", [8, 64])
@pytest.mark.parametrize(
    "data",
    [
        flat(),
        flat(keep_rgb=True),
        without_adobe(flat(keep_rgb=True)),
        with_adobe(flat(), 1),
        with_adobe(flat()[:2] + flat()[20:], 1),
    ],
    ids=["jfif", "adobe 0 is rgb", "components named r g b", "jfif and adobe 1", "adobe 1 is ycbcr"],
)
def test_three_components(data, size):
    assert is_near(middle(sample_pixels(data, image_spec(size))), COLOUR, 3)


def test_jfif_wins_over_adobes_zero():
    """The two contradict each other; libjpeg believes JFIF, and so do browsers."""
    data = flat()
    both = data[:20] + with_adobe(data[:2], 0)[2:] + data[20:]

    assert is_near(middle(sample_pixels(both, image_spec(8))), COLOUR, 3)


@pytest.mark.parametrize("size", [2, 16, 40])
def test_arithmetic_coding(size):
    assert is_near(middle(sample_pixels(ARITHMETIC, image_spec(size))), COLOUR, 3)


@pytest.mark.parametrize("size", [2, 16, 40])
def test_lossless_coding(size):
    """Less than half its size too: a lossless file cannot be shrunk by its decoder."""
    whole = file_of(Image.open(io.BytesIO(LOSSLESS)), "PNG")

    assert middle(Image.open(io.BytesIO(whole))) == COLOUR
    assert sample_pixels(LOSSLESS, image_spec(size)).tobytes() == sample_pixels(whole, image_spec(size)).tobytes()


def test_twelve_bits_are_unsupported():
    with pytest.raises(RejectError, match="12-bit") as caught:
        sample_pixels(TWELVE_BIT, image_spec())
    assert caught.value.reason is RejectReason.UNSUPPORTED


def test_restart_markers():
    data = file_of(quadrants(160, 120), "JPEG", restart_marker_rows=1)

    assert b"\xff\xd0" in data
    assert are_near(quadrant_colours(sample_pixels(data, image_spec(60))), QUADRANTS, 8)


def test_a_progressive_file_with_missing_scans_is_a_coarser_picture():
    """Nothing in it says how many scans there were; the first one has every block's mean colour."""
    data = file_of(quadrants(160, 120), "JPEG", progressive=True, quality=95)
    second = data.index(START_OF_SCAN, data.index(START_OF_SCAN) + 2)
    tables = data.rindex(b"\xff\xc4", 0, second)

    assert are_near(quadrant_colours(sample_pixels(data[:tables] + END, image_spec(60))), QUADRANTS, 12)


def test_the_first_picture_of_several():
    data = file_of(quadrants(160, 120), "MPO", save_all=True, append_images=[Image.new("RGB", (160, 120))])

    assert data.count(b"\xff\xd8\xff") == 2
    assert are_near(quadrant_colours(sample_pixels(data, image_spec(60))), QUADRANTS, 8)
