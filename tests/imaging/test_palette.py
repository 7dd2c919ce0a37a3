"""Palette images: colours are resampled, never indices, and transparent entries stand on white."""

from __future__ import annotations

import pytest
from PIL import Image

from packer.imaging.transform import sample_pixels
from tests.imaging.images import QUADRANTS, are_near, file_of, image_spec, is_near, middle, quadrant_colours, quadrants


def palette_image(colours, indices, size):
    image = Image.frombytes("P", size, indices)
    image.putpalette(bytes(value for colour in colours for value in colour))
    return image


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_the_colours_of_the_palette(kind):
    data = file_of(quadrants(160, 120).quantize(4), kind)

    assert are_near(quadrant_colours(sample_pixels(data, image_spec(60))), QUADRANTS, 2)


def test_neighbours_are_mixed_by_colour():
    """Indices 0 and 2 average to index 1 if indices are resampled, which is green here; red and blue mix to purple."""
    image = palette_image([(255, 0, 0), (0, 255, 0), (0, 0, 255)], bytes((0, 2)) * 32 * 64, (64, 64))

    assert is_near(middle(sample_pixels(file_of(image, "PNG"), image_spec(16))), (127, 0, 127), 2)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_entry_is_white(kind):
    image = palette_image([(255, 0, 0), (0, 0, 0)], bytes((0,) * 32 + (1,) * 32) * 64, (64, 64))

    pixels = sample_pixels(file_of(image, kind, transparency=1), image_spec(32))

    assert is_near(pixels.getpixel((6, 16)), (255, 0, 0))
    assert is_near(pixels.getpixel((26, 16)), (255, 255, 255))


def test_a_half_transparent_entry_is_half_white():
    image = palette_image([(200, 0, 100), (0, 0, 0)], bytes(64 * 64), (64, 64))

    pixels = sample_pixels(file_of(image, "PNG", transparency=bytes((128, 255))), image_spec(32))

    assert is_near(middle(pixels), (227, 127, 177), 1)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation(kind):
    frames = [quadrants(80, 60), Image.new("RGB", (80, 60), (1, 2, 3))]
    parameters = {"lossless": True} if kind == "WEBP" else {}

    data = file_of(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **parameters)

    assert are_near(quadrant_colours(sample_pixels(data, image_spec(60))), QUADRANTS, 2)
