"""Bytes that are left over before restart markers: filling in whole files, codes in damaged ones."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from packer.imaging.jpegrestarts import is_padded
from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import sample_pixels, transform_image
from packer.specs import Encode
from tests.imaging.images import file_of, image_spec, noise

SPEC = image_spec(60)
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
JUNK = bytes(np.random.default_rng(5).integers(0, 255, 4096, dtype=np.uint8))
"""Without 0xFF, which begins markers."""


def picture(size=(320, 240), mode="RGB"):
    return Image.merge("RGB", [noise(*size, 25 + channel, seed=channel) for channel in range(3)]).convert(mode)


FILES = {
    "rows": file_of(picture(), "JPEG", quality=90, restart_marker_rows=1),
    "blocks": file_of(picture(), "JPEG", quality=90, restart_marker_blocks=7),
    "444": file_of(picture(), "JPEG", quality=90, subsampling=0, restart_marker_blocks=33),
    "422": file_of(picture((317, 233)), "JPEG", quality=90, subsampling=1, restart_marker_rows=2),
    "grey": file_of(picture((101, 99), "L"), "JPEG", quality=90, restart_marker_rows=1),
}


def filled(data, filling):
    """Put `filling(n)` before the nth restart marker of the picture."""
    starts = [found.start() for found in RESTART.finditer(data, data.rindex(b"\xff\xda"))]
    parts = [data[start:stop] for start, stop in zip([0, *starts], [*starts, len(data)], strict=True)]
    return parts[0] + b"".join(filling(index) + part for index, part in enumerate(parts[1:]))


WHOLE = {
    "one byte now and then, as webcams do": lambda index: b"\x5a" * (index % 5 == 2),
    "words": lambda index: JUNK[index : index + index % 4],
    "ones": lambda index: b"\xff\x00" * (index % 4),
    "zeros up to a boundary, as scanners do": lambda index: bytes(37 * (index % 3)),
    "anything everywhere": lambda index: JUNK[9 * index : 9 * index + 9],
}


@pytest.mark.parametrize("filling", WHOLE)
@pytest.mark.parametrize("kind", FILES)
def test_whole_files_have_the_pixels_that_they_have_without(kind, filling):
    data = filled(FILES[kind], WHOLE[filling])
    assert data != FILES[kind]

    assert transform_image(data, SPEC) == transform_image(FILES[kind], SPEC)
    full = image_spec(500, encode=Encode.PNG)
    assert sample_pixels(data, full).tobytes() == sample_pixels(FILES[kind], full).tobytes()
    assert transform_image(data, image_spec(0, encode=Encode.KEEP)).encoded == data


DAMAGED = {
    "junk in one place": lambda data: filled(data, lambda index: JUNK[:40] * (index == 3)),
    "an interval lost": lambda data: cut_interval(data),
    "intervals exchanged": lambda data: re.sub(rb"\xff\xd1", b"\xff\xd3", data),
    "filling and damage": lambda data: damage(filled(data, lambda index: b"\x01\x02")),
}


def cut_interval(data):
    starts = [found.start() for found in RESTART.finditer(data, data.rindex(b"\xff\xda"))]
    return filled(data[: starts[1]] + data[starts[2] :], lambda index: b"\0")


def damage(data):
    at = data.rindex(b"\xff\xda") + 400
    return data[:at] + JUNK[:100] + data[at + 100 :]


@pytest.mark.parametrize("kind", ["rows", "422", "grey"])
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_stay_rejected(name, kind):
    with pytest.raises(RejectError) as caught:
        transform_image(DAMAGED[name](FILES[kind]), SPEC)
    assert caught.value.reason is RejectReason.CORRUPT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        FILES["rows"][:400],
        file_of(picture(), "JPEG"),
        file_of(picture(), "JPEG", progressive=True, restart_marker_rows=1),
        file_of(picture(mode="CMYK"), "JPEG", restart_marker_rows=1),
        file_of(picture(), "PNG"),
    ],
)
def test_other_files_are_not_judged(data):
    assert not is_padded(data)


def test_an_interval_that_is_wider_than_a_picture_may_be():
    """Four rows of a picture 24,000 pixels wide in one interval."""
    wide = Image.new("L", (24_000, 40), 80)
    data = file_of(wide, "JPEG", restart_marker_rows=4)
    assert not is_padded(filled(data, lambda _: b"\x01"))
    assert Image.open(io.BytesIO(data)).size == wide.size
