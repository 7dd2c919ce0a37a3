"""Engines read ahead and pack in threads: the transform gives each thread what it gives one alone."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from packer.imaging.transform import transform_image
from tests.imaging.images import file_of, image_spec, noise, quadrants, swapped_profile

PROGRAM = """
import sys
from packer.imaging.rejects import RejectError
from packer.imaging.transform import transform_image
from packer.options import PackOptions

try:
    transform_image(sys.stdin.buffer.read(), PackOptions(source="a", dest="b").image_spec())
except RejectError as error:
    print(error.reason)
print("still here", file=sys.stderr)
"""


def test_threads_agree_with_one_alone():
    grains = noise(300, 200, 60).convert("RGB")
    files = [
        file_of(grains, "JPEG"),
        file_of(grains, "JPEG", icc_profile=swapped_profile()),
        file_of(quadrants(300, 200), "PNG"),
        file_of(grains, "TIFF", compression="tiff_lzw"),
        file_of(grains.quantize(16), "GIF"),
    ] * 10
    alone = [transform_image(data, image_spec()) for data in files]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: transform_image(data, image_spec()), files))

    assert together == alone


WARNING = file_of(
    quadrants(48, 40), "TIFF", tiffinfo={270: "a description that is long enough to lie elsewhere in the file"}
)


@pytest.mark.slow
def test_pillows_warnings_are_not_printed_and_change_nothing():
    """Whatever Python was told to do with warnings. Pillow alone warns about this file."""
    tag = WARNING.index(struct.pack("<HH", 270, 2))
    data = WARNING[: tag + 4] + struct.pack("<I", 10**6) + WARNING[tag + 8 :]
    printed = [
        subprocess.run([sys.executable, *options, "-c", PROGRAM], input=data, capture_output=True, check=True)
        for options in ([], ["-W", "always"], ["-W", "error"])
    ]

    assert [(done.stdout, done.stderr) for done in printed] == [(b"", b"still here" + os.linesep.encode())] * 3
    with pytest.warns(UserWarning, match="larger than file"):
        Image.open(io.BytesIO(data)).load()


def test_the_users_filters_are_back_afterwards():
    before = list(warnings.filters)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: transform_image(data, image_spec()), [WARNING] * 40))

    assert warnings.filters == before


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_standard_error_is_quiet_meanwhile_and_back_afterwards(share):
    """A process of its own, so that Python's warnings and libtiff's messages go where a user would see them."""
    whole = file_of(noise(200, 200, 60), "TIFF", compression="tiff_lzw")

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=whole[: int(len(whole) * share)], capture_output=True, check=True
    )

    assert done.stdout
    assert done.stderr == b"still here" + os.linesep.encode()
