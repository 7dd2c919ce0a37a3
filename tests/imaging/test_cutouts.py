"""Photographs cut out of their background: over white they are within 50 dB of floating-point arithmetic."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from packer.imaging.modes import to_resampled_mode
from packer.imaging.transform import sample_pixels
from packer.specs import Alpha, Encode
from tests.imaging.images import file_of, image_spec, noise

LEAST_DB = 50


def mask_of(size):
    """A star with a soft edge, and beside it a hard one: half transparent, wholly and not."""
    width, height = size
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    points = [
        (width * x / 8, height * y / 8) for x, y in ((4, 0), (5, 3), (8, 4), (5, 5), (4, 8), (3, 5), (0, 4), (3, 3))
    ]
    draw.polygon(points, fill=255)
    soft = mask.resize((max(1, width // 8), max(1, height // 8))).resize(size, Image.Resampling.BICUBIC)
    soft.paste(mask.crop((0, 0, width, height // 2)), (0, 0))
    return soft


def cut_out(picture):
    cut = picture.convert("RGB")
    cut.info.clear()  # no colour profile: it is not what is measured here
    cut.putalpha(mask_of(picture.size))
    return cut


def exact(image, size):
    """Premultiplied, resampled and put on white without rounding: RGB [height, width, 3], float64, 0 to 255."""
    pixels = np.asarray(image, dtype=np.float64)
    alpha = pixels[..., 3:] / 255
    planes = np.concatenate([pixels[..., :3] * alpha, alpha], axis=2)
    resized = [
        np.asarray(Image.fromarray(planes[..., index].astype(np.float32)).resize(size, Image.Resampling.LANCZOS))
        for index in range(4)
    ]
    colours = np.stack(resized[:3], axis=2) + 255 * (1 - resized[3][..., None])
    return colours.clip(0, 255)


def check(image, short_px):
    pixels = sample_pixels(file_of(image, "PNG", compress_level=1), image_spec(short_px))
    error = np.asarray(pixels, dtype=np.float64) - exact(image, pixels.size)
    assert 10 * np.log10(255**2 / np.mean(error**2)) >= LEAST_DB


@pytest.mark.parametrize("short_px", [100, 256, 400])
def test_texture(short_px):
    check(cut_out(Image.merge("RGB", [noise(320, 240, 60, seed=channel) for channel in range(3)])), short_px)


@pytest.mark.slow
@pytest.mark.sample
@pytest.mark.skipif("SHARDPACK_SAMPLE" not in os.environ, reason="SHARDPACK_SAMPLE names no folder of photographs")
@pytest.mark.parametrize("short_px", [128, 256, 600])
def test_photographs(short_px):
    """Shrunk twice, shrunk a little and enlarged."""
    for path in sorted(Path(os.environ["SHARDPACK_SAMPLE"]).rglob("*.JPEG"))[:40]:
        check(cut_out(Image.open(path)), short_px)


def test_memory_is_not_held_twice_for_transparency_over_white():
    """The picture itself becomes RGB, for full-size pixels are what a worker's memory goes into."""
    image = Image.open(io.BytesIO(file_of(cut_out(noise(600, 500, 60)), "PNG", compress_level=1)))
    image.load()
    assert to_resampled_mode(image) is image
    assert image.mode == "RGB"


@pytest.mark.parametrize("short_px", [8, 64, 200])
def test_a_transparent_colour_and_a_palette_are_put_on_white_alike(short_px):
    """Red and black of one hidden colour, as RGB with a key, as a palette and as RGBA: the same sample."""
    plain = Image.new("RGB", (64, 64), (1, 2, 3))
    plain.paste((200, 0, 40), (8, 8, 40, 56))
    with_alpha = plain.convert("RGBA")
    with_alpha.putalpha(plain.getchannel("R").point(lambda value: 255 * (value != 1)))
    palette = plain.quantize(2)
    hidden = palette.getpixel((0, 0))
    files = [
        file_of(with_alpha, "PNG"),
        file_of(plain, "PNG", transparency=(1, 2, 3)),
        file_of(palette, "PNG", transparency=hidden),
    ]
    spec = image_spec(short_px, encode=Encode.PNG, alpha=Alpha.WHITE)
    assert len({sample_pixels(data, spec).tobytes() for data in files}) == 1
