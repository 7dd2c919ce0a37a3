"""Embedded profiles become sRGB; broken and foreign ones are ignored; sRGB itself costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from packer.imaging.colour import to_srgb
from packer.imaging.transform import sample_pixels
from tests.imaging.images import file_of, grey_profile, image_spec, is_near, middle, srgb_profile, swapped_profile

COLOUR = (200, 30, 60)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_profile_is_applied(kind):
    image = Image.new("RGB", (64, 64), COLOUR)
    parameters = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}

    pixels = sample_pixels(file_of(image, kind, icc_profile=swapped_profile(), **parameters), image_spec(16))

    assert is_near(middle(pixels), COLOUR[::-1], 3)


def test_a_profile_is_applied_to_palettes_and_alpha():
    palette = Image.new("RGB", (64, 64), COLOUR).quantize(4)
    alpha = Image.new("RGBA", (64, 64), (*COLOUR, 255))

    for image in (palette, alpha):
        pixels = sample_pixels(file_of(image, "PNG", icc_profile=swapped_profile()), image_spec(16))
        assert is_near(middle(pixels), COLOUR[::-1], 3)


def test_a_grey_profile_is_applied():
    data = file_of(Image.new("L", (64, 64), 128), "PNG", icc_profile=grey_profile(1.0))

    # Linear light of 128 / 255 is 188 in sRGB.
    assert is_near(middle(sample_pixels(data, image_spec(16))), (188, 188, 188), 1)


@pytest.mark.parametrize("profile", [b"junk", swapped_profile()[:140], grey_profile(1.0)])
def test_a_broken_or_foreign_profile_is_ignored(profile):
    data = file_of(Image.new("RGB", (64, 64), COLOUR), "PNG", icc_profile=profile)

    assert middle(sample_pixels(data, image_spec(16))) == COLOUR


def test_an_rgb_profile_of_a_grey_image_is_ignored():
    data = file_of(Image.new("L", (64, 64), 128), "PNG", icc_profile=swapped_profile())

    assert middle(sample_pixels(data, image_spec(16))) == (128, 128, 128)


def test_srgb_is_not_converted():
    image = Image.new("RGB", (4, 4), COLOUR)

    assert to_srgb(image, srgb_profile()) is image
    assert to_srgb(image, None) is image


def test_the_profile_is_gone_afterwards():
    assert to_srgb(Image.new("RGB", (4, 4), COLOUR), swapped_profile()).info == {}


def test_images_without_profile_do_not_load_littlecms():
    program = (
        "import io, sys\n"
        "from PIL import Image\n"
        "from packer.imaging.transform import transform_image\n"
        "from packer.options import PackOptions\n"
        "file = io.BytesIO()\n"
        "Image.new('RGB', (8, 8)).save(file, 'JPEG')\n"
        "transform_image(file.getvalue(), PackOptions(source='a', dest='b').image_spec())\n"
        "print('PIL.ImageCms' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
