"""Kinds of files that occur in heaps of images: each has one rule, which docs/images.md states."""

from __future__ import annotations

import struct
import zlib

import pytest
from PIL import Image, features

from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import sample_pixels, transform_image
from tests.imaging.images import (
    QUADRANTS,
    are_near,
    file_of,
    image_spec,
    is_near,
    middle,
    png_chunk,
    png_file,
    quadrant_colours,
    quadrants,
    tiff_file,
)

PICTURE = quadrants(160, 120)
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def rejected(data, spec=None):
    with pytest.raises(RejectError) as caught:
        transform_image(data, spec or image_spec())
    return caught.value


def bitmap(width, height, bits, pixels, *, compression=0, palette=b"", masks=b""):
    """A BMP with the header of Windows 3; a negative height means that rows run from the top."""
    offset = 14 + 40 + len(masks) + len(palette)
    header = struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset)
    colours = len(palette) // 4
    header += struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, colours, 0)
    return header + masks + palette + pixels


def rows(height, row):
    return (row + bytes(-len(row) % 4)) * height


PALETTE = bytes((50, 100, 200, 0)) * 16
MASKS_565 = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
MASKS_OF_BYTES = (0xFF000000, 0xFF0000, 0xFF00)
BITMAPS = {
    "24 bits": bitmap(8, 8, 24, rows(8, bytes((50, 100, 200)) * 8)),
    "24 bits, top down": bitmap(8, -8, 24, rows(8, bytes((50, 100, 200)) * 8)),
    "32 bits": bitmap(8, 8, 32, rows(8, bytes((50, 100, 200, 0)) * 8)),
    "16 bits 555": bitmap(8, 8, 16, rows(8, struct.pack("<H", 25 << 10 | 12 << 5 | 6) * 8)),
    "16 bits 565": bitmap(
        8, 8, 16, rows(8, struct.pack("<H", 25 << 11 | 25 << 5 | 6) * 8), compression=3, masks=MASKS_565
    ),
    "32 bits, fields": bitmap(
        8, 8, 32, rows(8, bytes((0, 50, 100, 200)) * 8), compression=3, masks=struct.pack("<3I", *MASKS_OF_BYTES)
    ),
    "palette of 8 bits": bitmap(8, 8, 8, rows(8, bytes(8)), palette=PALETTE),
    "palette of 4 bits": bitmap(8, 8, 4, rows(8, bytes(4)), palette=PALETTE),
    "run lengths of 8 bits": bitmap(8, 8, 8, b"\x08\x01\0\0" * 8 + b"\0\1", compression=1, palette=PALETTE),
    "run lengths of 4 bits": bitmap(8, 8, 4, b"\x08\x11\0\0" * 8 + b"\0\1", compression=2, palette=PALETTE),
}


@pytest.mark.parametrize("name", BITMAPS)
def test_bitmaps(name):
    assert is_near(middle(sample_pixels(BITMAPS[name], image_spec(8))), (200, 100, 50), 6)


def test_a_bitmap_of_rare_fields_is_unsupported():
    ten_bits_each = struct.pack("<3I", 0x3FF00000, 0xFFC00, 0x3FF)

    error = rejected(bitmap(8, 8, 32, bytes(256), compression=3, masks=ten_bits_each))

    assert error.reason is RejectReason.UNSUPPORTED
    assert error.detail == "BMP: Unsupported BMP bitfields layout"


@pytest.mark.parametrize(("height", "first"), [(2, (0, 0, 0)), (-2, (255, 255, 255))])
def test_bitmaps_run_upwards_unless_their_height_is_negative(height, first):
    pixels = sample_pixels(bitmap(2, height, 24, rows(1, b"\xff" * 6) + rows(1, bytes(6))), image_spec(2))

    assert pixels.getpixel((0, 0)) == first


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg", "zstd", "lzma"]
)
def test_tiff_compressions(compression):
    data = file_of(PICTURE, "TIFF", compression=compression)

    assert are_near(quadrant_colours(sample_pixels(data, image_spec(60))), QUADRANTS, 8)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "packbits"])
def test_fax_compressions(compression):
    image = Image.new("1", (64, 64))
    image.paste(1, (32, 0, 64, 64))

    pixels = sample_pixels(file_of(image, "TIFF", compression=compression), image_spec(32))

    assert (pixels.getpixel((6, 16)), pixels.getpixel((26, 16))) == ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize("parameters", [{}, {"big_tiff": True}])
def test_the_first_page_of_a_tiff(parameters):
    pages = [PICTURE, Image.new("RGB", (30, 30))]

    data = file_of(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw", **parameters)

    assert are_near(quadrant_colours(sample_pixels(data, image_spec(60))), QUADRANTS, 2)


@pytest.mark.parametrize("mode", ["LAB", "YCbCr"])
def test_other_colour_spaces_of_tiff(mode):
    colour = Image.new("RGB", (64, 64), (200, 100, 50))
    if mode == "LAB":
        from PIL import ImageCms

        lab = ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(colour, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    else:
        image = colour.convert(mode)

    pixels = sample_pixels(file_of(image, "TIFF"), image_spec(16))

    assert is_near(middle(pixels), (200, 100, 50), 4)


@pytest.mark.parametrize(
    ("image", "parameters", "expected"),
    [
        (Image.new("RGB", (64, 64), (200, 100, 50)), {"no_jp2": True}, (200, 100, 50)),
        (Image.new("RGB", (64, 64), (200, 100, 50)), {"tile_size": (32, 32)}, (200, 100, 50)),
        (Image.new("RGB", (64, 64), (200, 100, 50)), {"irreversible": True, "quality_layers": [10]}, (200, 100, 50)),
        (Image.new("RGBA", (64, 64), (200, 0, 100, 128)), {}, (227, 127, 177)),
        (Image.new("LA", (64, 64), (80, 128)), {}, (167, 167, 167)),
        (Image.frombytes("I;16", (64, 64), struct.pack("<H", 257 * 100) * 4096), {}, (100, 100, 100)),
    ],
)
def test_jpeg_2000(image, parameters, expected):
    assert is_near(middle(sample_pixels(file_of(image, "JPEG2000", **parameters), image_spec(16))), expected, 3)


@needs_avif
@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGB", (64, 64), (200, 100, 50)), (200, 100, 50)),
        (Image.new("RGBA", (64, 64), (200, 0, 100, 128)), (227, 127, 177)),
        (Image.new("L", (64, 64), 77), (77, 77, 77)),
    ],
)
def test_avif(image, expected):
    assert is_near(middle(sample_pixels(file_of(image, "AVIF", quality=95), image_spec(16))), expected, 4)


@needs_avif
def test_the_first_frame_of_an_avif_sequence():
    data = file_of(PICTURE, "AVIF", quality=95, save_all=True, append_images=[Image.new("RGB", PICTURE.size)])

    assert are_near(quadrant_colours(sample_pixels(data, image_spec(60))), QUADRANTS, 8)


@pytest.mark.parametrize("default_image", [False, True])
def test_the_first_picture_of_an_animated_png(default_image):
    """The default image, which other programs show, whether it is a frame or stands apart."""
    frames = [Image.new("RGB", PICTURE.size, (9, 9, 9)), Image.new("RGB", PICTURE.size)]
    data = file_of(PICTURE, "PNG", save_all=True, append_images=frames, default_image=default_image, duration=100)

    assert b"acTL" in data
    assert are_near(quadrant_colours(sample_pixels(data, image_spec(60))), QUADRANTS, 2)


def test_a_tiff_compressed_as_webp():
    """Few builds of libtiff know that compression; none may make up pixels."""
    webp = file_of(PICTURE, "WEBP", lossless=True)
    data = tiff_file(*PICTURE.size, webp, bits=8, photometric=2, samples=3, compression=50001)

    try:
        pixels = sample_pixels(data, image_spec(60))
    except RejectError as error:
        assert error.reason in (RejectReason.CORRUPT, RejectReason.UNSUPPORTED)
        assert "WEBP" in error.detail
    else:
        assert are_near(quadrant_colours(pixels), QUADRANTS, 2)


def test_a_frame_that_covers_a_part_of_its_gif():
    """Pixels outside the frame are transparent, and so white."""
    data = bytearray(file_of(Image.new("RGB", (20, 20), (200, 0, 0)), "GIF"))
    data[6:10] = struct.pack("<HH", 40, 20)

    pixels = sample_pixels(bytes(data), image_spec(20))

    assert pixels.size == (40, 20)
    assert is_near(pixels.getpixel((5, 10)), (200, 0, 0))


UNSUPPORTED = {
    "ICO": file_of(PICTURE, "ICO"),
    "PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(40),
    "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "PDF": b"%PDF-1.7\n",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
    "HEIC by its second brand": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40),
    "HEIC sequence": b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc" + bytes(40),
    "PFM of colour": b"PF\n2 2\n-1.0\n" + bytes(48),
    "JPEG XL": bytes.fromhex("ff0a434024080401006c004b"),
    # A ramp of 16 x 8, by CharLS.
    "JPEG-LS": bytes.fromhex(
        "ffd8ffe80020535049464600020000010000000800000010080806010000006000000060ffe8000800000001ffd8fff7000b0800080010"
        "01011100ffda0008010100000000adb6fdbfff12bffcbfff57ff7bff7fff7fff7fff7fc0ffd9"
    ),
    "TGA": file_of(PICTURE, "TGA"),
    "PCX": file_of(PICTURE, "PCX"),
    "ZIP": b"PK\x03\x04" + bytes(60),
}


@pytest.mark.parametrize("name", [name for name in UNSUPPORTED if name != "JPEG-LS"])
def test_other_formats_are_no_images(name):
    assert rejected(UNSUPPORTED[name]).reason is RejectReason.NOT_AN_IMAGE


def test_jpeg_ls_begins_like_a_jpeg():
    assert rejected(UNSUPPORTED["JPEG-LS"]).reason in (RejectReason.CORRUPT, RejectReason.TRUNCATED)


def claim(data, at, code, *sides):
    data = bytearray(data)
    data[at : at + struct.calcsize(code)] = struct.pack(code, *sides)
    return bytes(data)


def tiff_with_side(data, side):
    """Change ImageWidth (256) and ImageLength (257) in the first directory of a little-endian TIFF."""
    (directory,) = struct.unpack_from("<I", data, 4)
    (num_entries,) = struct.unpack_from("<H", data, directory)
    for at in range(directory + 2, directory + 2 + 12 * num_entries, 12):
        if struct.unpack_from("<H", data, at)[0] in (256, 257):
            data = claim(data, at + 2, "<HII", 4, 1, side)
    return data


SIDE = 50_000
BOMBS = {
    "png": png_file(SIDE, SIDE, [b""], bits=8),
    "gif": claim(file_of(PICTURE, "GIF"), 6, "<HH", SIDE, SIDE),
    "tiff": tiff_with_side(file_of(PICTURE, "TIFF"), SIDE),
    "lzw tiff": tiff_with_side(file_of(PICTURE, "TIFF", compression="tiff_lzw"), SIDE),
    "webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (SIDE - 1).to_bytes(3, "little") * 2 + b"VP8 \0\0\0\0",
    "bmp": claim(file_of(PICTURE, "BMP"), 18, "<ii", SIDE, SIDE),
    "ppm": b"P6 50000 50000 255\n",
    "jpeg 2000": file_of(PICTURE, "JPEG2000").replace(struct.pack(">II", 120, 160), struct.pack(">II", SIDE, SIDE)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_headers_that_claim_fifty_thousand_pixels_square(name):
    error = rejected(BOMBS[name])

    assert error.reason in (RejectReason.TOO_MANY_PIXELS, RejectReason.CORRUPT)
    assert error.reason is RejectReason.TOO_MANY_PIXELS or name == "webp"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iCCP", "zTXt", "iTXt"])
def test_chunks_that_inflate_to_gigabytes(name):
    """A hundred kilobytes of zeros compressed a thousandfold: refused at the first megabyte."""
    squeezed = zlib.compress(bytes(100 << 20), 9)
    heads = {"iCCP": b"p\0\0", "zTXt": b"k\0\0", "iTXt": b"k\0\1\0\0\0"}
    chunk = png_chunk(name.encode(), heads[name] + squeezed)

    error = rejected(png_file(2, 2, [bytes(6)] * 2, bits=8, before=chunk))

    assert error.reason is RejectReason.CORRUPT
    assert "too large" in error.detail


def test_the_extension_does_not_matter():
    """Bytes decide: there is no name to be wrong. What a server sent instead of an image is none."""
    assert rejected(b"<!DOCTYPE html><title>404</title>").reason is RejectReason.NOT_AN_IMAGE
    assert transform_image(file_of(PICTURE, "PNG"), image_spec()).image_format == "jpeg"
