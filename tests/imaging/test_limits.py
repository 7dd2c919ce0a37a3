"""Limits read from headers before anything is decoded, and sizes at the edge of what is possible."""

from __future__ import annotations

import struct
import warnings

import pytest
from PIL import Image

from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import transform_image
from packer.specs import Fit
from tests.imaging.images import file_of, image_spec, png_file


def rejected(data, spec):
    with pytest.raises(RejectError) as caught:
        transform_image(data, spec)
    return caught.value


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_more_pixels_than_the_limit(kind):
    data = file_of(Image.new("RGB", (40, 30)), kind)

    error = rejected(data, image_spec(16, max_pixels=1199))

    assert error.reason is RejectReason.TOO_MANY_PIXELS
    assert error.detail == "expected at most 1,199 pixels (`max_pixels`), got 40x30"
    assert transform_image(data, image_spec(16, max_pixels=1200)).height == 16


def test_a_bomb_is_refused_by_its_header():
    """Nothing but the header is true: decoding would find a handful of bytes."""
    data = png_file(60_000, 60_000, [b""], bits=8)

    assert rejected(data, image_spec()).reason is RejectReason.TOO_MANY_PIXELS


def test_a_jpeg_bomb_is_refused_before_it_is_shrunk():
    data = bytearray(file_of(Image.new("L", (16, 16)), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", 60_000, 60_000)

    assert rejected(bytes(data), image_spec()).reason is RejectReason.TOO_MANY_PIXELS


def test_pillows_own_limit_neither_applies_nor_changes(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = file_of(Image.new("RGB", (40, 30)), "PNG")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert transform_image(data, image_spec(16)).height == 16
    assert Image.MAX_IMAGE_PIXELS == 100


def test_an_enlargement_beyond_the_limit():
    data = file_of(Image.new("RGB", (1000, 10)), "JPEG")

    error = rejected(data, image_spec(256, max_pixels=1_000_000))

    assert error.reason is RejectReason.OUTPUT_TOO_LARGE
    assert "got 25600x256" in error.detail


def test_a_side_that_jpeg_cannot_have():
    data = file_of(Image.new("L", (20_000, 10)), "PNG")

    error = rejected(data, image_spec(40))

    assert error.reason is RejectReason.OUTPUT_TOO_LARGE
    assert "65,500 on a side, got 80000x40" in error.detail


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 1), (20_000, 10), (10, 20_000)])
@pytest.mark.parametrize("fit", [Fit.LONG, Fit.COVER, Fit.CONTAIN, Fit.STRETCH])
def test_extreme_sizes(kind, size, fit):
    data = file_of(Image.new("RGB", size, (200, 100, 50)), kind, **({"quality": 95} if kind == "JPEG" else {}))

    sample = transform_image(data, image_spec(32, fit=fit))

    assert (sample.width, sample.height) == (32, 32) or fit is Fit.LONG
    assert max(sample.width, sample.height) == 32
    assert min(sample.width, sample.height) >= 1
    assert sum(sample.histogram[199:202]) > 0


def test_small_images_are_enlarged():
    data = file_of(Image.new("RGB", (3, 2), (9, 9, 9)), "PNG")

    sample = transform_image(data, image_spec(100))

    assert (sample.width, sample.height) == (150, 100)
