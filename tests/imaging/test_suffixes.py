"""The names that are taken for images are those of what is decoded."""

from __future__ import annotations

import io

import pytest
from PIL import Image, features

from packer.imaging.imageformats import FORMATS
from packer.imaging.transform import transform_image
from packer.sources.image_names import IMAGE_SUFFIXES
from tests.imaging.images import file_of, image_spec, quadrants

KINDS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"),
    "MPO": (".mpo",),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "JPEG2000": (".jp2", ".jpx", ".jpf", ".j2k", ".j2c", ".jpc"),
    "AVIF": (".avif", ".avifs"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
}
CODESTREAMS = (".j2k", ".j2c", ".jpc")
MODES = {".pgm": "L", ".pbm": "1", ".pfm": "F"}


def test_each_suffix_is_of_a_format_that_is_decoded():
    listed = [suffix for suffixes in KINDS.values() for suffix in suffixes]
    assert sorted(listed) == sorted(IMAGE_SUFFIXES)
    assert len(FORMATS) == len(KINDS) - 1  # an MPO is a JPEG


@pytest.mark.parametrize(("kind", "suffix"), [(kind, suffix) for kind in KINDS for suffix in KINDS[kind]])
def test_a_file_of_each_suffix_is_decoded(kind, suffix):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    picture = quadrants(64, 48).convert(MODES.get(suffix, "RGB"))
    parameters = {"no_jp2": suffix in CODESTREAMS} if kind == "JPEG2000" else {}
    if suffix in (".apng", ".avifs", ".mpo"):
        parameters = {"save_all": True, "append_images": [Image.new("RGB", picture.size)]}
    sample = transform_image(file_of(picture, kind, **parameters), image_spec(24))
    assert Image.open(io.BytesIO(sample.encoded)).size == (32, 24)


@pytest.mark.parametrize("kind", ["TGA", "ICO", "ICNS", "DDS", "PCX", "SGI"])
def test_what_is_not_decoded_is_not_listed(kind):
    """Pillow writes these, and could read them; here no trainer's images are of them."""
    assert f".{kind.lower()}" not in IMAGE_SUFFIXES
