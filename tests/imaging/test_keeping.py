"""`--encode keep`: bytes untouched, all of them or those that satisfy the request."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import transform_image
from packer.specs import Encode, Fit
from tests.imaging.images import (
    cyan_is_grey_profile,
    exif_block,
    file_of,
    image_spec,
    noise,
    png_file,
    quadrants,
    srgb_profile,
    swapped_profile,
)

ALL = image_spec(0, encode=Encode.KEEP)
SHORT_60 = image_spec(60, encode=Encode.KEEP)
PICTURE = quadrants(80, 60)
TURNED = b"Exif\0\0" + exif_block(6)


def with_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize(
    ("data", "image_format", "channels"),
    [
        (file_of(PICTURE, "JPEG"), "jpeg", 3),
        (file_of(PICTURE, "JPEG", exif=TURNED, icc_profile=swapped_profile()), "jpeg", 3),
        (file_of(PICTURE.convert("CMYK"), "JPEG"), "jpeg", 4),
        (file_of(PICTURE.convert("L"), "JPEG"), "jpeg", 1),
        (file_of(PICTURE, "MPO", save_all=True, append_images=[PICTURE]), "jpeg", 3),
        (file_of(PICTURE.convert("RGBA"), "PNG"), "png", 4),
        (file_of(PICTURE.quantize(8), "PNG", transparency=1), "png", 1),
        (file_of(PICTURE.quantize(8), "GIF"), "gif", 1),
        (file_of(PICTURE, "WEBP"), "webp", 3),
        (file_of(PICTURE, "BMP"), "bmp", 3),
        (file_of(PICTURE, "PPM"), "ppm", 3),
        (file_of(PICTURE, "TIFF", exif=with_orientation(6)), "tiff", 3),
        (file_of(PICTURE, "JPEG2000"), "jpeg2000", 3),
    ],
)
def test_without_resizing_every_image_is_kept(data, image_format, channels):
    """Size and channels are those of the file, also where its orientation would exchange the sides."""
    sample = transform_image(data, ALL)

    assert sample.encoded == data
    assert (sample.image_format, sample.width, sample.height, sample.channels) == (image_format, 80, 60, channels)
    assert [sum(sample.histogram[start : start + 256]) for start in (0, 256, 512)] == [4800] * 3
    assert len(sample.histogram) == 768


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (Image.new("L", (9, 9), 77), "PNG", (77, 77, 77)),
        (Image.new("RGB", (9, 9), (1, 2, 3)), "PNG", (1, 2, 3)),
        (Image.new("RGBA", (9, 9), (0, 0, 0, 0)), "PNG", (255, 255, 255)),
        (Image.new("CMYK", (9, 9), (255, 0, 0, 0)), "TIFF", (0, 255, 255)),
        (Image.new("RGBA", (600, 1000), (0, 0, 0, 0)), "PNG", (255, 255, 255)),
    ],
)
def test_colours_are_counted_as_rgb(image, kind, expected):
    """The last is larger than one strip."""
    histogram = transform_image(file_of(image, kind), ALL).histogram

    assert [histogram[256 * channel + value] for channel, value in enumerate(expected)] == [
        image.width * image.height
    ] * 3


def test_what_does_not_decode_is_not_kept():
    data = file_of(noise(80, 60, 60), "PNG")

    with pytest.raises(RejectError) as caught:
        transform_image(data[: len(data) // 2], ALL)
    assert caught.value.reason is RejectReason.TRUNCATED


def test_the_limit_of_pixels_holds_for_what_is_kept():
    with pytest.raises(RejectError, match="got 80x60") as caught:
        transform_image(file_of(PICTURE, "JPEG"), image_spec(0, encode=Encode.KEEP, max_pixels=4799))
    assert caught.value.reason is RejectReason.TOO_MANY_PIXELS


SATISFYING = {
    "jpeg": file_of(PICTURE, "JPEG"),
    "progressive": file_of(PICTURE, "JPEG", progressive=True),
    "png": file_of(PICTURE, "PNG"),
    "webp": file_of(PICTURE, "WEBP"),
    "upright": file_of(PICTURE, "JPEG", exif=b"Exif\0\0" + exif_block(1)),
    "srgb": file_of(PICTURE, "JPEG", icc_profile=srgb_profile()),
}
OTHERS = {
    "turned": file_of(quadrants(60, 80), "JPEG", exif=TURNED),
    "upside down": file_of(PICTURE, "JPEG", exif=b"Exif\0\0" + exif_block(3)),
    "other profile": file_of(PICTURE, "JPEG", icc_profile=swapped_profile()),
    "grey": file_of(PICTURE.convert("L"), "JPEG"),
    "cmyk": file_of(PICTURE.convert("CMYK"), "JPEG", icc_profile=cyan_is_grey_profile()),
    "palette": file_of(PICTURE.quantize(8), "PNG"),
    "alpha": file_of(PICTURE.convert("RGBA"), "PNG"),
    "transparent colour": file_of(PICTURE, "PNG", transparency=(1, 2, 3)),
    "deep": png_file(80, 60, [bytes(6 * 80)] * 60),
    "animation": file_of(PICTURE, "WEBP", save_all=True, append_images=[Image.new("RGB", (80, 60))], lossless=True),
    "gif": file_of(PICTURE, "GIF"),
    "bmp": file_of(PICTURE, "BMP"),
    "larger": file_of(quadrants(81, 61), "JPEG"),
    "smaller": file_of(quadrants(40, 30), "JPEG"),
    "large": file_of(quadrants(800, 600), "JPEG"),
}


@pytest.mark.parametrize("name", SATISFYING)
def test_an_image_that_satisfies_the_request_is_untouched(name):
    sample = transform_image(SATISFYING[name], SHORT_60)

    assert sample.encoded == SATISFYING[name]
    assert (sample.width, sample.height, sample.channels) == (80, 60, 3)
    assert sum(sample.histogram) == 3 * 80 * 60


@pytest.mark.parametrize("name", OTHERS)
def test_all_others_become_jpeg(name):
    sample = transform_image(OTHERS[name], SHORT_60)
    asked = transform_image(OTHERS[name], image_spec(60))

    assert sample == asked
    assert sample.image_format == "jpeg"
    assert Image.open(io.BytesIO(sample.encoded)).size == (sample.width, sample.height)


@pytest.mark.parametrize("fit", [Fit.COVER, Fit.CONTAIN, Fit.STRETCH])
@pytest.mark.parametrize(("size", "is_kept"), [((80, 60), True), ((60, 80), False), ((80, 61), False)])
def test_the_size_after_the_fit_counts(fit, size, is_kept):
    data = file_of(PICTURE, "PNG")

    sample = transform_image(data, image_spec(*size, fit=fit, encode=Encode.KEEP))

    assert (sample.encoded == data) is is_kept
    assert (sample.width, sample.height) == size
