"""Image files for the tests: built by Pillow, or byte by byte where Pillow cannot write the kind."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

from packer.specs import Alpha, Encode, Fit, ImageSpec, Subsampling

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
QUADRANTS = (RED, GREEN, BLUE, YELLOW)


def image_spec(
    width=64,
    height=None,
    *,
    fit=Fit.SHORT,
    encode=Encode.JPEG,
    quality=95,
    max_pixels=100_000_000,
    subsampling=Subsampling.S420,
    alpha=Alpha.WHITE,
):
    return ImageSpec(
        width=width,
        height=height or width,
        fit=fit,
        encode=encode,
        quality=quality,
        max_pixels=max_pixels,
        subsampling=subsampling,
        alpha=alpha,
    )


def file_of(image, kind, **parameters):
    file = io.BytesIO()
    image.save(file, kind, **parameters)
    return file.getvalue()


def quadrants(width, height, colours=QUADRANTS):
    """Top left, top right, bottom left and bottom right of an RGB image in the four colours."""
    image = Image.new("RGB", (width, height), colours[3])
    image.paste(colours[0], (0, 0, width // 2, height // 2))
    image.paste(colours[1], (width // 2, 0, width, height // 2))
    image.paste(colours[2], (0, height // 2, width // 2, height))
    return image


def quadrant_colours(image):
    """The pixels in the middles of the four quadrants."""
    width, height = image.size
    return tuple(image.getpixel((width * x // 4, height * y // 4)) for y in (1, 3) for x in (1, 3))


def middle(image):
    return image.getpixel((image.width // 2, image.height // 2))


def is_near(pixel, expected, tolerance=2):
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, expected, strict=True))


def are_near(pixels, expected, tolerance=2):
    return all(is_near(a, b, tolerance) for a, b in zip(pixels, expected, strict=True))


def ramp(width, height, mode="L"):
    """Every column x has the value x."""
    line = Image.frombytes("L", (width, 1), bytes(range(width)))
    return line.resize((width, height), Image.Resampling.NEAREST).convert(mode)


def noise(width, height, spread, *, seed=0):
    """Grey noise around 128, the same every time, which Pillow's effect_noise is not."""
    values = np.random.default_rng(seed).normal(128, spread, (height, width))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_file(width, height, rows, *, bits=16, colour_type=2, before=b"", behind=b""):
    """A PNG of raw rows; `before` and `behind` are chunks around the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + before
        + png_chunk(b"IDAT", pixels)
        + behind
        + png_chunk(b"IEND", b"")
    )


def tiff_file(width, height, pixels, *, bits, photometric=1, sample_format=1, order="<", compression=1, samples=1):
    """A TIFF of one strip; `pixels` are its bytes as the compression has them."""
    tags = {
        256: width,
        257: height,
        258: bits,
        259: compression,
        262: photometric,
        273: 0,
        277: samples,
        278: height,
        279: len(pixels),
        339: sample_format,
    }
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags.items())
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4) + pixels


def exif_block(orientation, order="<"):
    """An EXIF block, without its prefix, of a maker's tag and the orientation."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHII", 0x010F, 2, 4, 0x00414141)
    entries += struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return magic + struct.pack(order + "IH", 8, 2) + entries + struct.pack(order + "I", 0)


def swapped_profile():
    """sRGB with red and blue exchanged, so that no pixel can hide whether it was applied."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"\0tmp", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"\0tmp", b"bXYZ", 1)


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def icc_profile(device_class, space, connection, tags):
    """An ICC version 2 profile: a header of 128 bytes, the table of tags, their bodies (ICC.1:2001-04)."""
    table, bodies, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        padded = body + bytes(-len(body) % 4)
        table += name + struct.pack(">II", offset + len(bodies), len(body))
        bodies += padded
    num_bytes = offset + len(bodies)
    header = struct.pack(">I4sI4s4s4s", num_bytes, b"lcms", 0x02400000, device_class, space, connection)
    header += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + bodies


def grey_profile(gamma):
    """A greyscale profile of one gamma."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return icc_profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": white, b"kTRC": curve})


def cyan_is_grey_profile():
    """A CMYK profile whose cyan ink is black and whose other inks are invisible: only the profile can tell."""
    ramp_table = bytes(range(256))
    grid = b"".join(bytes((0 if corner & 8 else 255, 128, 128)) for corner in range(16))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp_table * 4 + grid + ramp_table * 3
    return icc_profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut, b"A2B1": lut})
