"""RGB images of every container, and the form of what comes out."""

from __future__ import annotations

import io

import pytest
from PIL import Image, features

from packer.imaging.transform import sample_pixels, transform_image
from tests.imaging.images import (
    QUADRANTS,
    are_near,
    file_of,
    image_spec,
    is_near,
    middle,
    noise,
    quadrant_colours,
    quadrants,
    srgb_profile,
)

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True, "subsampling": 0}),
        ("PNG", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {}),
        pytest.param("AVIF", {"quality": 95}, marks=needs_avif),
    ],
)
def test_the_colours_of_every_container_survive(kind, parameters):
    data = file_of(quadrants(160, 120), kind, **parameters)

    pixels = sample_pixels(data, image_spec(60))

    assert pixels.size == (80, 60)
    assert are_near(quadrant_colours(pixels), QUADRANTS, 6)


def test_the_sample_is_a_plain_jpeg_of_the_pixels():
    data = file_of(quadrants(160, 120), "JPEG", quality=95)
    spec = image_spec(60)

    sample = transform_image(data, spec)
    decoded = Image.open(io.BytesIO(sample.encoded))

    assert (decoded.format, decoded.mode, decoded.size) == ("JPEG", "RGB", (80, 60))
    assert (sample.image_format, sample.width, sample.height, sample.channels) == ("jpeg", 80, 60, 3)
    assert sample.histogram == tuple(sample_pixels(data, spec).histogram())
    assert [layer[1:3] for layer in decoded.layer] == [(2, 2), (1, 1), (1, 1)]
    assert "progressive" not in decoded.info
    assert are_near(quadrant_colours(decoded), QUADRANTS, 6)


def test_no_metadata_of_the_source_reaches_the_sample():
    exif = Image.Exif()
    exif[0x010F] = "maker"
    data = file_of(quadrants(80, 60), "JPEG", exif=exif, comment=b"hello", icc_profile=srgb_profile(), dpi=(300, 300))

    sample = transform_image(data, image_spec(60))

    info = Image.open(io.BytesIO(sample.encoded)).info
    assert set(info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_the_same_input_gives_the_same_bytes():
    data = file_of(quadrants(333, 250), "JPEG", quality=80)

    assert transform_image(data, image_spec()) == transform_image(data, image_spec())


def test_quality_reaches_the_encoder():
    data = file_of(noise(80, 80, 50).convert("RGB"), "PNG")

    sizes = [len(transform_image(data, image_spec(80, quality=quality)).encoded) for quality in (50, 75, 95)]

    assert sizes == sorted(sizes)
    assert sizes[0] * 2 < sizes[2]


def test_a_picture_is_smoothed_where_it_shrinks():
    """One-pixel stripes of black and white average to grey; a resizer that skips pixels would keep black or white."""
    stripes = Image.frombytes("L", (256, 256), bytes((0, 255)) * 128 * 256).convert("RGB")

    pixels = sample_pixels(file_of(stripes, "PNG"), image_spec(32))

    assert is_near(middle(pixels), (127, 127, 127), 1)


def test_the_first_picture_of_an_mpo_file_is_taken():
    first, second = quadrants(80, 60), Image.new("RGB", (80, 60), (9, 9, 9))

    pixels = sample_pixels(file_of(first, "MPO", save_all=True, append_images=[second], quality=95), image_spec(60))

    assert are_near(quadrant_colours(pixels), QUADRANTS, 6)


def test_colour_spaces_besides_rgb_are_converted():
    lab = Image.merge("LAB", [Image.new("L", (40, 40), value) for value in (128, 128, 128)])

    pixels = sample_pixels(file_of(lab, "TIFF"), image_spec(20))

    assert pixels.mode == "RGB"
    low, high = min(middle(pixels)), max(middle(pixels))
    assert 90 < low <= high < 150
