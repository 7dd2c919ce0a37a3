"""The header of a plain JPEG: read as Pillow reads it, or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from packer.imaging.decoding import decode_image
from packer.imaging.jpegheader import JpegHeader, read_jpeg_header
from packer.imaging.library_messages import without_warnings
from tests.imaging.images import file_of, quadrants
from tests.imaging.test_rare_jpeg import ARITHMETIC, LOSSLESS, TWELVE_BIT

QUANTISATION = b"\xff\xdb\x00\x43\x00" + bytes(range(1, 65))
HUFFMAN = b"\xff\xc4\x00\x13" + bytes(17)
SCAN = b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00"
PROFILE = bytes(range(256)) * 3


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def frame(marker=0xC0, width=40, height=30, components=3, bits=8) -> bytes:
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return segment(marker, bytes((bits,)) + size + bytes((components,)) + b"\x01\x11\x00" * components)


def profile_part(number: int, of: int, content: bytes) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\0" + bytes((number, of)) + content)


def pillow_header(data: bytes) -> JpegHeader:
    with without_warnings:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    assert image.fp is not None
    info, scan_start = image.info, image.fp.tell()
    num_scanned = data[data.rfind(b"\xff\xda", 0, scan_start) + 4]
    return JpegHeader(
        size=image.size,
        mode=image.mode,
        exif=info.get("exif"),
        xmp=info.get("xmp"),
        icc_profile=info.get("icc_profile"),
        scan_start=scan_start,
        has_many_scans="progressive" in info or num_scanned < image.layers,
    )


def with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


PLAIN = {
    "baseline": file_of(quadrants(40, 30), "JPEG"),
    "progressive": file_of(quadrants(40, 30), "JPEG", progressive=True),
    "grey": file_of(quadrants(40, 30).convert("L"), "JPEG"),
    "arithmetic": b"\xff\xd8" + QUANTISATION + frame(0xC9) + segment(0xCC, bytes(2)) + SCAN,
    "restarts": file_of(quadrants(40, 30), "JPEG", restart_marker_rows=1),
    "exif": file_of(quadrants(40, 30), "JPEG", exif=with_orientation(6)),
    "profile": file_of(quadrants(40, 30), "JPEG", icc_profile=PROFILE),
    "long profile": file_of(quadrants(40, 30), "JPEG", icc_profile=PROFILE * 200),
    "comment": file_of(quadrants(40, 30), "JPEG", comment="\xff\xda in a comment"),
}
PLAIN["fill bytes"] = PLAIN["baseline"][:2] + b"\xff\xff" + PLAIN["baseline"][2:]
PLAIN["two blocks of exif"] = (
    PLAIN["exif"][:2] + segment(0xE1, b"Exif\0\0first") + segment(0xE1, b"other") + PLAIN["exif"][2:]
)
PLAIN["parts in disorder"] = (
    PLAIN["baseline"][:2] + profile_part(2, 2, b"end") + profile_part(1, 2, b"begin ") + PLAIN["baseline"][2:]
)


@pytest.mark.parametrize("kind", PLAIN)
def test_read_as_pillow_reads_it(kind):
    data = PLAIN[kind]
    assert read_jpeg_header(data) == pillow_header(data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLAIN)
def test_cut_anywhere_it_is_left_to_pillow(kind):
    data = PLAIN[kind]
    scan_start = pillow_header(data).scan_start
    assert all(read_jpeg_header(data[:length]) is None for length in range(scan_start))
    assert read_jpeg_header(data[:scan_start]) is not None


LEFT_TO_PILLOW = {
    "empty": b"",
    "another format": file_of(quadrants(40, 30), "PNG"),
    "cmyk": file_of(quadrants(40, 30).convert("CMYK"), "JPEG"),
    "lossless": LOSSLESS,
    "twelve bits": TWELVE_BIT,
    "left-over byte": ARITHMETIC,
    "junk between segments": b"\xff\xd8" + QUANTISATION + b"junk" + frame() + SCAN,
    "stuffed zero": b"\xff\xd8" + QUANTISATION + b"\xff\x00" + frame() + SCAN,
    "restart in the header": b"\xff\xd8\xff\xd0" + frame() + SCAN,
    "two frames": b"\xff\xd8" + frame() + frame(width=41) + SCAN,
    "no frame": b"\xff\xd8" + QUANTISATION + SCAN,
    "end before a scan": b"\xff\xd8" + frame() + b"\xff\xd9" + SCAN,
    "no height": b"\xff\xd8" + frame(height=0) + SCAN,
    "two components": b"\xff\xd8" + frame(components=2) + SCAN,
    "frame too long": b"\xff\xd8" + segment(0xC0, frame()[4:] + b"\0") + SCAN,
    "segment too short": b"\xff\xd8\xff\xe0\x00\x01" + frame() + SCAN,
    "segment beyond the end": b"\xff\xd8" + frame() + b"\xff\xe0\xff\xff",
    "hierarchical": b"\xff\xd8" + frame(0xDE) + SCAN,
    "profile behind the frame": b"\xff\xd8" + frame() + profile_part(1, 1, PROFILE) + SCAN,
    "part of a profile": b"\xff\xd8" + profile_part(1, 2, PROFILE) + frame() + SCAN,
    "profile without numbers": b"\xff\xd8" + segment(0xE2, b"ICC_PROFILE\0") + frame() + SCAN,
}


@pytest.mark.parametrize("kind", LEFT_TO_PILLOW)
def test_what_is_unusual_is_left_to_pillow(kind):
    assert read_jpeg_header(LEFT_TO_PILLOW[kind]) is None


def segments() -> st.SearchStrategy[bytes]:
    """Segments in any order, most of them well formed, one in a while not."""
    content = st.binary(max_size=30)
    number = st.integers(0, 3)
    return st.one_of(
        st.sampled_from([QUANTISATION, HUFFMAN, SCAN, b"\xff", b"\xff\x00", b"\xff\xd0", b"x", b"\xff\xd9"]),
        st.builds(frame, st.sampled_from([0xC0, 0xC2, 0xC3, 0xC9]), st.integers(0, 9), components=st.integers(0, 4)),
        st.builds(profile_part, number, number, content),
        content.map(lambda block: segment(0xE1, b"Exif\0\0" + block)),
        st.builds(segment, st.integers(0xC0, 0xFE), content),
    )


@given(st.lists(segments(), max_size=8))
def test_any_header_is_read_as_pillow_reads_it(parts):
    check_like_pillow(b"\xff\xd8" + b"".join(parts) + SCAN)


@given(st.sampled_from(sorted(PLAIN)), st.integers(2, 700), st.binary(min_size=1, max_size=4))
def test_mangled_headers_are_read_as_pillow_reads_them(kind, at, replacement):
    data = PLAIN[kind]
    check_like_pillow(data[:at] + replacement + data[at + len(replacement) :])


def check_like_pillow(data: bytes) -> None:
    """What Pillow refuses may be read, since it looks at more than is needed (tables, resolution)."""
    header = read_jpeg_header(data)
    if header is None:
        return
    try:
        expected = pillow_header(data)
    except SyntaxError:
        return
    assert header == expected


def test_a_plain_file_is_decoded_without_pillow(monkeypatch):
    monkeypatch.setattr(JpegImagePlugin, "JpegImageFile", None)
    decoded = decode_image(PLAIN["exif"], max_pixels=10**4, draft_request=lambda source, _: source)
    assert decoded.orientation == 6


@pytest.mark.sample
@pytest.mark.skipif("SHARDPACK_SAMPLE" not in os.environ, reason="SHARDPACK_SAMPLE names no folder of photographs")
def test_photographs():
    num_plain = 0
    for path in sorted(Path(os.environ["SHARDPACK_SAMPLE"]).rglob("*.JPEG"))[:1000]:
        data = path.read_bytes()
        if header := read_jpeg_header(data):
            num_plain += 1
            assert header == pillow_header(data), path
    assert num_plain > 900
