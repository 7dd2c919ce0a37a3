"""Alpha in every form stands on white, and what hides under transparent pixels never shows."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from packer.imaging.modes import to_resampled_mode
from packer.imaging.transform import sample_pixels, transform_image
from packer.specs import Alpha, Encode, Fit
from tests.imaging.images import (
    exif_block,
    file_of,
    image_spec,
    is_near,
    middle,
    png_chunk,
    png_file,
    swapped_profile,
)


def kept_spec(width, height=None, *, fit=Fit.SHORT, encode=Encode.PNG):
    return image_spec(width, height, fit=fit, encode=encode, alpha=Alpha.KEEP)


@pytest.mark.parametrize(("kind", "parameters"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((200, 0, 100, 255), (200, 0, 100)),
        ((200, 0, 100, 128), (227, 127, 177)),
        ((200, 0, 100, 1), (255, 254, 254)),
        ((0, 0, 0, 0), (255, 255, 255)),
    ],
)
def test_rgba(kind, parameters, colour, expected):
    data = file_of(Image.new("RGBA", (64, 64), colour), kind, **parameters)

    assert is_near(middle(sample_pixels(data, image_spec(16))), expected, 1)


def test_hidden_colours_do_not_leak_over_an_edge():
    """Red beside transparent green: mixing before multiplying would tint the edge green."""
    image = Image.new("RGBA", (63, 63), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 31, 63))

    pixels = sample_pixels(file_of(image, "PNG"), image_spec(16))

    row = [pixels.getpixel((x, 8)) for x in range(16)]
    assert all(abs(green - blue) <= 1 for _, green, blue in row)
    assert all(red >= 253 for red, _, _ in row)
    assert row[0] == (255, 0, 0)
    assert row[-1] == (255, 255, 255)


@pytest.mark.parametrize(("grey", "alpha", "expected"), [(80, 255, 80), (80, 128, 167), (0, 0, 255)])
def test_grey_with_alpha(grey, alpha, expected):
    data = file_of(Image.new("LA", (64, 64), (grey, alpha)), "PNG")

    assert is_near(middle(sample_pixels(data, image_spec(16))), (expected,) * 3, 1)


def test_grey_with_alpha_is_whole_over_many_strips():
    """Taller and wider than one strip, with another value in each row."""
    image = Image.linear_gradient("L").resize((700, 1024))
    with_alpha = Image.merge("LA", [image, Image.new("L", image.size, 255)])

    pixels = to_resampled_mode(with_alpha)

    assert pixels.mode == "L"
    assert pixels.tobytes() == image.tobytes()


def test_a_transparent_colour_of_rgb_is_white():
    image = Image.new("RGB", (64, 64), (10, 20, 30))
    image.paste((200, 0, 0), (32, 0, 64, 64))

    pixels = sample_pixels(file_of(image, "PNG", transparency=(10, 20, 30)), image_spec(32))

    assert pixels.getpixel((6, 16)) == (255, 255, 255)
    assert is_near(pixels.getpixel((26, 16)), (200, 0, 0), 1)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_a_transparent_level_of_grey_is_white(mode):
    image = Image.new(mode, (64, 64), 0)

    pixels = sample_pixels(file_of(image, "PNG", transparency=0), image_spec(32))

    assert middle(pixels) == (255, 255, 255)


def test_sixteen_bit_rgba():
    half = (0x8080).to_bytes(2, "big")
    row = (b"\xc8\xc8" + b"\0\0" + b"\x64\x64" + half) * 8

    data = png_file(8, 8, [row] * 8, colour_type=6)

    assert is_near(middle(sample_pixels(data, image_spec(8))), (227, 127, 177), 1)


def test_sixteen_bit_grey_with_alpha():
    row = (b"\x50\x50" + b"\x80\x80") * 8

    data = png_file(8, 8, [row] * 8, colour_type=4)

    assert is_near(middle(sample_pixels(data, image_spec(8))), (167, 167, 167), 1)


def test_sixteen_bit_grey_with_a_transparent_level():
    """The transparent level is white, others keep their value."""
    row = b"\x12\x34" * 4 + b"\x50\x50" * 4
    data = png_file(8, 8, [row] * 8, colour_type=0, before=png_chunk(b"tRNS", b"\x12\x34"))

    pixels = sample_pixels(data, image_spec(8))

    assert pixels.getpixel((0, 4)) == (255, 255, 255)
    assert pixels.getpixel((7, 4)) == (80, 80, 80)


@pytest.mark.parametrize(("alpha", "transparent"), [(Alpha.WHITE, (255, 255, 255)), (Alpha.KEEP, (0, 0, 0, 0))])
@pytest.mark.parametrize("above", [0, 0x5500])
@pytest.mark.parametrize(("bits", "level"), [(2, 1), (2, 3), (4, 1), (4, 6), (4, 15)])
def test_a_transparent_level_of_few_bits(bits, level, above, alpha, transparent):
    """The level counts in the file's steps, the pixels in 8 bits; bits of it above its depth mean nothing."""
    highest = 2**bits - 1
    levels = [level, 0, highest - 1, highest // 2] * (16 // bits)
    row = int("".join(f"{value:0{bits}b}" for value in levels), 2).to_bytes(8, "big")
    key = png_chunk(b"tRNS", struct.pack(">H", above | level))
    data = png_file(len(levels), 8, [row] * 8, bits=bits, colour_type=0, before=key)

    pixels = sample_pixels(data, image_spec(8, encode=Encode.PNG, alpha=alpha))

    expected = [transparent if value == level else (value * 255 // highest,) * 3 for value in levels[:4]]
    assert [pixels.getpixel((x, 4))[: len(value)] for x, value in enumerate(expected)] == expected


@pytest.mark.parametrize(("alpha", "transparent"), [(Alpha.WHITE, (255, 255, 255)), (Alpha.KEEP, (0, 0, 0, 0))])
def test_a_transparent_colour_of_sixteen_bits(alpha, transparent):
    """All 16 bits count: a colour that is the same at 8 bits only stays."""
    key = struct.pack(">3H", 0x0102, 0x0304, 0x0506)
    others = [struct.pack(">3H", *colour) for colour in ((0x0102, 0x0304, 0x0507), (0x0202, 0x0404, 0x0606))]
    row = key + others[0] + others[1] + struct.pack(">3H", 0xC8C8, 0, 0x6464)
    data = png_file(8, 8, [row * 2] * 8, before=png_chunk(b"tRNS", key))

    pixels = sample_pixels(data, image_spec(8, encode=Encode.PNG, alpha=alpha))

    expected = [transparent, (1, 3, 5), (2, 4, 6), (200, 0, 100)]
    assert [pixels.getpixel((x, 4))[: len(colour)] for x, colour in enumerate(expected)] == expected


def test_a_transparent_colour_of_sixteen_bits_over_many_strips():
    key = struct.pack(">3H", 0x0102, 0x0304, 0x0206)
    rows = [key * 699 + struct.pack(">3H", 0x0102, 0x0304, value) for value in range(1024)]
    data = png_file(700, 1024, rows, before=png_chunk(b"tRNS", key))

    alpha = sample_pixels(data, kept_spec(700)).getchannel("A")

    assert alpha.getbbox() == (699, 0, 700, 1024)
    assert [y for y in range(1024) if not alpha.getpixel((699, y))] == [0x0206]


@pytest.mark.parametrize("mode", ["PA", "La", "RGBa"])
def test_rare_layouts(mode):
    source = Image.new("LA" if mode == "La" else "RGBA", (8, 8), (100, 128) if mode == "La" else (100, 100, 100, 128))
    image = source.convert("P").convert("PA") if mode == "PA" else source.convert(mode)
    if mode == "PA":
        image.putalpha(128)

    pixels = to_resampled_mode(image)

    assert is_near(middle(pixels.convert("RGB")), (177, 177, 177), 3)


@pytest.mark.parametrize("encode", [Encode.PNG, Encode.WEBP])
@pytest.mark.parametrize(("alpha", "mode", "channels"), [(Alpha.KEEP, "RGBA", 4), (Alpha.WHITE, "RGB", 3)])
def test_alpha_is_kept_where_that_is_asked_for(encode, alpha, mode, channels):
    data = file_of(Image.new("RGBA", (64, 64), (200, 0, 100, 128)), "PNG")

    sample = transform_image(data, image_spec(16, encode=encode, alpha=alpha))
    image = Image.open(io.BytesIO(sample.encoded))

    assert (image.mode, sample.channels) == (mode, channels)
    expected = (200, 0, 100, 128) if alpha is Alpha.KEEP else (227, 127, 177)
    assert is_near(middle(image), expected, 4 if encode is Encode.WEBP else 1)
    assert len(sample.histogram) == 768
    assert sum(sample.histogram) == 3 * 16 * 16


KEPT = {
    "rgba": (Image.new("RGBA", (8, 8), (200, 0, 100, 128)), {}, (200, 0, 100, 128)),
    "grey with alpha": (Image.new("LA", (8, 8), (80, 128)), {}, (80, 80, 80, 128)),
    "palette": (Image.new("RGB", (8, 8), (200, 0, 100)).quantize(2), {"transparency": b"\x80"}, (200, 0, 100, 128)),
    "transparent colour": (Image.new("RGB", (8, 8), (1, 2, 3)), {"transparency": (1, 2, 3)}, (0, 0, 0, 0)),
    "another transparent colour": (Image.new("RGB", (8, 8), (1, 2, 3)), {"transparency": (9, 9, 9)}, (1, 2, 3, 255)),
    "transparent grey": (Image.new("L", (8, 8), 7), {"transparency": 7}, (0, 0, 0, 0)),
    "transparent black": (Image.new("1", (8, 8), 0), {"transparency": 0}, (0, 0, 0, 0)),
    "transparent 16 bits": (Image.new("I;16", (8, 8), 7), {"transparency": 7}, (0, 0, 0, 0)),
    "opaque 16 bits": (Image.new("I;16", (8, 8), 257 * 100), {"transparency": 7}, (100, 100, 100, 255)),
}


@pytest.mark.parametrize("name", KEPT)
def test_every_form_of_alpha_is_kept(name):
    image, parameters, expected = KEPT[name]

    pixels = sample_pixels(file_of(image, "PNG", **parameters), kept_spec(8))

    assert pixels.mode == "RGBA"
    assert is_near(middle(pixels), expected, 1)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "1"])
def test_images_without_alpha_stay_rgb(mode):
    data = file_of(Image.new(mode, (8, 8)), "TIFF")

    assert transform_image(data, kept_spec(8)).channels == 3


def test_hidden_colours_do_not_leak_into_kept_alpha():
    """Straight resampling would give the edge a green tint."""
    image = Image.new("RGBA", (63, 63), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 31, 63))

    pixels = sample_pixels(file_of(image, "PNG"), kept_spec(16))

    row = [pixels.getpixel((x, 8)) for x in range(16)]
    assert all(colour[:3] == (255, 0, 0) for colour in row if colour[3] > 8)
    assert (row[0][3], row[-1]) == (255, (0, 0, 0, 0))


def test_a_profile_and_an_orientation_are_applied_beside_alpha():
    image = Image.new("RGBA", (64, 32), (200, 30, 60, 128))
    data = file_of(image, "PNG", icc_profile=swapped_profile(), exif=b"Exif\0\0" + exif_block(6))

    pixels = sample_pixels(data, kept_spec(16))

    assert pixels.size == (16, 32)
    assert is_near(middle(pixels), (60, 30, 200, 128), 3)


def test_padding_is_transparent_beside_alpha():
    data = file_of(Image.new("RGBA", (64, 32), (200, 30, 60, 255)), "PNG")

    pixels = sample_pixels(data, kept_spec(16, 16, fit=Fit.CONTAIN))

    assert pixels.getpixel((8, 1)) == (0, 0, 0, 0)
    assert pixels.getpixel((8, 8)) == (200, 30, 60, 255)
