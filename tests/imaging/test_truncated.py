"""Files that end too early are rejected as truncated wherever they were cut, and quietly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import transform_image
from tests.imaging.images import file_of, image_spec, noise, quadrants


def picture(size=(160, 120)):
    """Has noise, so that every part of the file matters."""
    grains = Image.merge("RGB", [noise(*size, 40 + 10 * channel, seed=channel) for channel in range(3)])
    return Image.blend(quadrants(*size), grains, 0.5)


FILES = {
    "jpeg": file_of(picture(), "JPEG", quality=85),
    "progressive": file_of(picture(), "JPEG", quality=85, progressive=True),
    "large jpeg": file_of(picture((900, 700)), "JPEG", quality=85),
    "cmyk jpeg": file_of(picture().convert("CMYK"), "JPEG", quality=85),
    "png": file_of(picture(), "PNG"),
    "gif": file_of(picture().quantize(64), "GIF"),
    "webp": file_of(picture(), "WEBP"),
    "bmp": file_of(picture(), "BMP"),
    "ppm": file_of(picture(), "PPM"),
    "tiff": file_of(picture(), "TIFF"),
    "lzw tiff": file_of(picture(), "TIFF", compression="tiff_lzw"),
    "deflate tiff": file_of(picture(), "TIFF", compression="tiff_adobe_deflate"),
}


def reason_of(data):
    with pytest.raises(RejectError) as caught:
        transform_image(data, image_spec(60))
    return caught.value.reason


@pytest.mark.parametrize("name", FILES)
def test_the_whole_file_is_good(name):
    assert transform_image(FILES[name], image_spec(60)).height == 60


@pytest.mark.parametrize("percent", [30, 70, 99])
@pytest.mark.parametrize("name", [name for name in FILES if "tiff" not in name])
def test_cut(name, percent):
    data = FILES[name]

    assert reason_of(data[: len(data) * percent // 100]) is RejectReason.TRUNCATED


@pytest.mark.parametrize("percent", [30, 70])
@pytest.mark.parametrize("name", [name for name in FILES if "tiff" in name])
def test_cut_tiff(name, percent, capfd):
    """The directory of a TIFF may be at its end, so a cut file may look like one without a directory."""
    data = FILES[name]

    assert reason_of(data[: len(data) * percent // 100]) in (RejectReason.TRUNCATED, RejectReason.CORRUPT)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["jpeg", "progressive", "large jpeg", "cmyk jpeg", "png", "webp"])
@pytest.mark.parametrize("num_bytes", [1, 2, 5, 12, 50])
def test_cut_by_a_few_bytes(name, num_bytes):
    assert reason_of(FILES[name][:-num_bytes]) is RejectReason.TRUNCATED


@given(st.sampled_from(["jpeg", "progressive", "png"]), st.floats(0, 1, exclude_max=True))
def test_cut_anywhere_behind_the_signature(name, share):
    data = FILES[name]
    end = 8 + int((len(data) - 8) * share)

    assert reason_of(data[:end]) is RejectReason.TRUNCATED


def test_a_download_filled_with_zeros():
    data = FILES["jpeg"]

    cut = data[: len(data) // 2] + bytes(len(data) // 2)

    assert reason_of(cut) is RejectReason.TRUNCATED


def test_a_cut_jpeg_with_a_thumbnail_that_is_whole():
    """The thumbnail's end marker must not pass for the picture's."""
    exif = Image.Exif()
    data = file_of(picture(), "JPEG", exif=exif.tobytes() + file_of(picture((16, 12)), "JPEG"))

    assert transform_image(data, image_spec(60)).height == 60
    assert reason_of(data[:-2]) is RejectReason.TRUNCATED


def test_bytes_behind_the_end_do_no_harm():
    for name in ("jpeg", "png"):
        assert transform_image(FILES[name] + b"\0trailer" * 100, image_spec(60)).height == 60


@pytest.mark.parametrize("name", ["lzw tiff", "deflate tiff"])
def test_what_libtiff_prints_is_caught_and_told(name, capfd):
    data = bytearray(FILES[name])
    middle = len(data) // 2
    data[middle : middle + 4000] = b"\xff" * 4000

    with pytest.raises(RejectError) as caught:
        transform_image(bytes(data), image_spec(60))

    assert capfd.readouterr().err == ""
    assert caught.value.reason in (RejectReason.CORRUPT, RejectReason.TRUNCATED)
    assert caught.value.detail.startswith("TIFF: ")
    assert len(caught.value.detail) > len("TIFF: decoder error -2")
