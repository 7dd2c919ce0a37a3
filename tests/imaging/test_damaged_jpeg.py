"""Damage in the middle of a JPEG that has its end: found where libjpeg notices, and nothing else is taken for it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from packer.imaging.jpeg import decode_jpeg
from packer.imaging.jpegmarkers import is_lossless
from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import transform_image
from tests.imaging.images import file_of, image_spec, noise, quadrants
from tests.imaging.test_rare_jpeg import ARITHMETIC, LOSSLESS, TWELVE_BIT

END = b"\xff\xd9"
LOSSLESS_FRAME = b"\xff\xc3\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00"


def picture(size=(320, 240), mode="RGB"):
    return Image.merge("RGB", [noise(*size, 25 + channel, seed=channel) for channel in range(3)]).convert(mode)


FILES = {
    "baseline": file_of(picture(), "JPEG", quality=90),
    "progressive": file_of(picture(), "JPEG", quality=90, progressive=True),
    "grey": file_of(picture(mode="L"), "JPEG", quality=90),
    "restarts": file_of(picture(), "JPEG", quality=90, restart_marker_rows=1),
    "444": file_of(picture(), "JPEG", quality=90, subsampling=0),
}
DAMAGE = {
    "zeros": lambda data, at: data[:at] + bytes(600) + data[at + 600 :],
    "missing": lambda data, at: data[:at] + data[at + 300 :],
    "repeated": lambda data, at: data[: at + 600] + data[at:],
}


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "resized"])
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", FILES)
def test_damage_in_the_middle(kind, damage, keep):
    data = FILES[kind]
    spec = image_spec(0, encode="keep") if keep else image_spec(60)
    transform_image(data, spec)
    with pytest.raises(RejectError, match="JPEG: Corrupt JPEG data: ") as caught:
        transform_image(DAMAGE[damage](data, len(data) // 2), spec)
    assert caught.value.reason is RejectReason.CORRUPT


@pytest.mark.parametrize("marker", [b"\xff\xc4", b"\xff\xda"], ids=["tables", "scan"])
def test_bytes_left_over_in_the_header(marker):
    data = FILES["baseline"]
    at = data.index(marker)
    with pytest.raises(RejectError, match="JPEG: Corrupt JPEG data: 4 extraneous bytes"):
        transform_image(data[:at] + b"junk" + data[at:], image_spec(60))


@pytest.mark.parametrize("kind", ["baseline", "grey"])
def test_zeros_before_the_end_are_padding(kind):
    data = FILES[kind]
    padded = transform_image(data[:-2] + bytes(700) + END, image_spec(60))
    assert padded == transform_image(data, image_spec(60))


def test_what_a_careless_header_is_warned_of_is_no_damage():
    data = FILES["baseline"]
    version = data.index(b"JFIF\0") + 5
    unknown = data[:version] + b"\x07\x07" + data[version + 2 :]
    assert transform_image(unknown, image_spec(60)) == transform_image(data, image_spec(60))


@pytest.mark.parametrize("shrunk", [1, 2, 4, 8])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_those_of_pillow(shrunk, subsampling, progressive, mode):
    data = file_of(picture((333, 251), mode), "JPEG", quality=85, subsampling=subsampling, progressive=progressive)
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.draft(None, (333 // shrunk, 251 // shrunk))
    pixels = decode_jpeg(data, image.mode, image.size)
    assert pixels is not None
    assert pixels.size == image.size == (-(-333 // shrunk), -(-251 // shrunk))
    assert pixels.convert(mode).tobytes() == image.tobytes()


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 4, 8]))
def test_any_size_is_shrunk_as_pillow_does(width, height, shrunk):
    data = file_of(quadrants(width, height), "JPEG")
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.draft(None, (max(1, width // shrunk), max(1, height // shrunk)))
    pixels = decode_jpeg(data, "RGB", image.size)
    assert pixels is None or pixels.convert("RGB").tobytes() == image.tobytes()


@pytest.mark.parametrize("data", [TWELVE_BIT, file_of(picture(mode="CMYK"), "JPEG"), b"\xff\xd8\xff\xe0no JPEG", b""])
def test_what_is_left_to_pillow(data):
    mode = "CMYK" if b"Adobe" in data else "RGB"
    assert decode_jpeg(data, mode, (16, 16)) is None


def test_lossless_frames_are_told_by_their_header():
    assert is_lossless(LOSSLESS)
    assert not any(
        is_lossless(data) for data in (*FILES.values(), ARITHMETIC, TWELVE_BIT, b"", b"\xff\xd8", b"\xff\xd8\xff")
    )


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        (b"", True),
        (b"\xff\xff\xff", True),  # fill bytes
        (b"junk\xff\x00\xff\x01\xff\xd3", True),  # what has no length is skipped
        (b"\xff\xe1\x00\x04ab", True),
        (b"\xff\xe1\x00\x0f" + LOSSLESS_FRAME, True),  # one in a comment, and a real one
        (b"\xff\xda\x00\x02", False),  # behind the start of a scan
        (END, False),
        (b"\xff\xe1\xff\xff", False),  # a segment beyond the end
    ],
)
def test_markers_are_followed_as_libjpeg_does(between, expected):
    assert is_lossless(b"\xff\xd8" + between + LOSSLESS_FRAME) is expected
    comment = b"\xff\xe1\x00\x0f" + LOSSLESS_FRAME
    assert not is_lossless(b"\xff\xd8" + comment + FILES["baseline"][2:])
