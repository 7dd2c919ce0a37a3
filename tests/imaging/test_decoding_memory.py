"""What 25 megapixels cost a worker, measured as the peak of a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from tests.imaging.images import file_of, png_chunk, png_file

pytestmark = pytest.mark.slow

MOST_BYTES = 150 * 2**20
MOST_BYTES_OF_WEBP = 320 * 2**20
"""Two canvases inside libwebp, which are freed before there is an image, and its output."""
PROGRAM = """
import sys
from packer.imaging.transform import transform_image
from packer.options import PackOptions

def peak():
    # Of this program alone; getrusage's maximum includes the process that it was forked from.
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

spec = PackOptions(source="a", dest="b").image_spec()
small, large = (open(path, "rb").read() for path in sys.argv[1:])
transform_image(small, spec)
before = peak()
transform_image(large, spec)
print(peak() - before)
"""


def picture(width, height):
    gradient = Image.linear_gradient("L")
    image = Image.merge("RGB", [gradient, Image.radial_gradient("L"), gradient.rotate(90)])
    return image.resize((width, height))


def with_alpha(image):
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


MAKERS = {
    "rgb png": lambda image: file_of(image, "PNG", compress_level=1),
    "rgba png": lambda image: file_of(with_alpha(image), "PNG", compress_level=1),
    "grey with alpha png": lambda image: file_of(with_alpha(image.convert("L")), "PNG", compress_level=1),
    "palette png": lambda image: file_of(image.quantize(64, method=2), "PNG", transparency=3),
    "16-bit png": lambda image: file_of(image.convert("L").convert("I").convert("I;16"), "PNG", compress_level=1),
    "jpeg": lambda image: file_of(image, "JPEG"),
    "progressive jpeg": lambda image: file_of(image, "JPEG", progressive=True),
    "cmyk jpeg": lambda image: file_of(image.convert("CMYK"), "JPEG"),
    "floating-point tiff": lambda image: file_of(image.convert("F"), "TIFF"),
    "rgb png with a transparent colour": lambda image: file_of(image, "PNG", compress_level=1, transparency=(1, 2, 3)),
    "16-bit rgb png with a transparent colour": lambda image: png_file(
        *image.size, [bytes(6 * image.width)] * image.height, before=png_chunk(b"tRNS", bytes(6))
    ),
    "gif": lambda image: file_of(image.quantize(64, method=2), "GIF"),
    "webp": lambda image: file_of(image, "WEBP", method=0),
}


@pytest.mark.parametrize("name", MAKERS)
def test_25_megapixels(name, tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(MAKERS[name](picture(58, 43)))
    large.write_bytes(MAKERS[name](picture(5800, 4320)))

    done = subprocess.run([sys.executable, "-c", PROGRAM, small, large], capture_output=True, text=True, check=True)

    assert int(done.stdout) < (MOST_BYTES_OF_WEBP if name == "webp" else MOST_BYTES)
