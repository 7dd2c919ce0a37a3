"""Width, height and channels of an image that is kept: those of its file, for every format and orientation.

One rule for who packs, who checks what was packed, and who copies it.
"""

from __future__ import annotations

import pytest
from PIL import Image, features

from packer.imaging.check import check_decodes, read_size
from packer.imaging.transform import transform_image
from packer.specs import Encode
from tests.imaging.images import file_of, image_spec, noise
from tests.imaging.test_xmp import file_with, text_png, xmp

SIZE = (80, 60)
ORIENTED = ["JPEG", "PNG", "WEBP", "TIFF", *(["AVIF"] if features.check("avif") else [])]
UPRIGHT_ONLY = ["GIF", "BMP", "PPM", "JPEG2000"]
PICTURE = noise(*SIZE, 50).convert("RGB")


def check(data, channels=3):
    sample = transform_image(data, image_spec(0, encode=Encode.KEEP))
    assert sample.encoded == data
    assert (sample.width, sample.height, sample.channels) == (*SIZE, channels)
    assert check_decodes(data) == SIZE
    assert read_size(data) == (*SIZE, channels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ORIENTED)
def test_with_an_orientation(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    check(file_of(PICTURE, kind, exif=exif))
    check(file_with(PICTURE, kind, packet=xmp(orientation)))
    if kind == "PNG":
        check(text_png(PICTURE, exif.tobytes()))


@pytest.mark.parametrize(
    ("mode", "compression"),
    [
        *((mode, "raw") for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F")),
        *((mode, "tiff_lzw") for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F")),
        *((mode, "jpeg") for mode in ("L", "RGB", "CMYK")),
    ],
)
def test_a_tiff_of_any_kind(mode, compression):
    picture = PICTURE.convert("I").convert(mode) if mode == "I;16" else PICTURE.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    check(file_of(picture, "TIFF", exif=exif, compression=compression), channels=len(picture.getbands()))


@pytest.mark.parametrize("kind", UPRIGHT_ONLY)
def test_without(kind):
    picture = PICTURE.quantize(16) if kind == "GIF" else PICTURE
    check(file_of(picture, kind), channels=1 if kind == "GIF" else 3)
