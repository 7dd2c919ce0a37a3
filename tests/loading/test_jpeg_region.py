"""A region is the same part of the whole picture, bit by bit; what is wrong with a JPEG is said."""

from __future__ import annotations

import io
import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from packer.loading import jpeg_region
from packer.loading.crop_decoder import CropWindow
from packer.loading.jpeg_region import JpegRegions, RegionError, UnsupportedJpegError, load_library

SUBSAMPLINGS = ("444", "422", "420", "440", "411", "Gray")


@pytest.fixture
def regions(region_library):
    return JpegRegions(region_library)


def noise(height, width, channels=3):
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, channels), np.uint8)


def encode(height, width, *, subsampling="420", is_progressive=False):
    if is_progressive:
        file = io.BytesIO()
        level = {"444": 0, "422": 1}.get(subsampling, 2)
        Image.fromarray(noise(height, width)).save(file, "JPEG", progressive=True, subsampling=level)
        return file.getvalue()
    is_grey = subsampling == "Gray"
    pixels = noise(height, width, 1 if is_grey else 3)
    return simplejpeg.encode_jpeg(pixels, 80, "GRAY" if is_grey else "RGB", subsampling)


def cut(region, window, by=1):
    """Return the pixels of a window from those around it."""
    rows = slice(window.top // by - region.top, -(-(window.top + window.height) // by) - region.top)
    columns = slice(window.left // by - region.left, -(-(window.left + window.width) // by) - region.left)
    return region.pixels[rows, columns]


def cut_whole(encoded, window, by=1):
    height, width, _, _ = simplejpeg.decode_jpeg_header(encoded)
    least = -(-height // by), -(-width // by)
    pixels = simplejpeg.decode_jpeg(encoded, "RGB", min_height=least[0], min_width=least[1])
    assert pixels.shape[:2] == least
    rows = slice(window.top // by, -(-(window.top + window.height) // by))
    return pixels[rows, window.left // by : -(-(window.left + window.width) // by)]


@st.composite
def windows(draw, height, width):
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return CropWindow(top, left, draw(st.integers(1, height - top)), draw(st.integers(1, width - left)))


@pytest.mark.slow
@pytest.mark.parametrize("is_progressive", [False, True])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_region_is_the_same_part_of_the_whole(region_library, subsampling, is_progressive, data):
    by = data.draw(st.sampled_from((1, 1, 2, 4, 8)))
    sides = st.integers(1 if by == 1 else 64, 130)  # in smaller ones the other decoder's scale cannot be chosen
    height, width = data.draw(sides), data.draw(sides)
    window = data.draw(windows(height, width))
    encoded = encode(height, width, subsampling=subsampling, is_progressive=is_progressive)
    region = JpegRegions(region_library).decode(memoryview(encoded), window, shrink_by=by)
    np.testing.assert_array_equal(cut(region, window, by), cut_whole(encoded, window, by))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("window", [CropWindow(32, 48, 17, 16), CropWindow(0, 0, 90, 110), CropWindow(89, 109, 1, 1)])
def test_windows_at_borders_of_blocks_and_pictures(regions, subsampling, window):
    encoded = encode(90, 110, subsampling=subsampling)
    np.testing.assert_array_equal(cut(regions.decode(encoded, window, shrink_by=1), window), cut_whole(encoded, window))


def test_a_region_is_little_larger_than_its_window(regions):
    region = regions.decode(encode(400, 600), CropWindow(200, 300, 50, 60), shrink_by=1)
    height, width, _ = region.pixels.shape
    assert height <= 50 + 4
    assert width <= 60 + 4 + 16


@pytest.mark.sample
def test_photographs(regions, sample_dir):
    for path in sorted(sample_dir.rglob("*.jp*g"))[:25]:
        encoded = path.read_bytes()
        height, width = Image.open(path).size[::-1]
        window = CropWindow(height // 5, width // 7, height // 2, width // 3)
        try:
            expected = cut_whole(encoded, window)
        except ValueError:
            continue  # a kind that simplejpeg does not read
        np.testing.assert_array_equal(cut(regions.decode(encoded, window, shrink_by=1), window), expected)


def test_memory_grows_with_the_pictures(regions, monkeypatch):
    monkeypatch.setattr(jpeg_region, "_FIRST_BUFFER_BYTES", 10)
    window = CropWindow(0, 0, 300, 400)
    encoded = encode(300, 400)
    regions = JpegRegions(load_library())
    np.testing.assert_array_equal(
        regions.decode(encoded, window, shrink_by=1).pixels, simplejpeg.decode_jpeg(encoded, "RGB")
    )


def test_threads(region_library):
    window = CropWindow(50, 60, 100, 90)
    pictures = [encode(200 + 7 * i, 200) for i in range(8)]
    expected = [cut_whole(encoded, window) for encoded in pictures]

    def decode_all(_):
        regions = JpegRegions(region_library)
        return [cut(regions.decode(encoded, window, shrink_by=1), window).copy() for encoded in pictures]

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(decode_all, range(8)):
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "window", [CropWindow(-1, 0, 5, 5), CropWindow(0, 0, 21, 5), CropWindow(0, 28, 5, 3), CropWindow(0, 0, 0, 5)]
)
def test_a_window_must_be_inside(regions, window):
    with pytest.raises(RegionError, match="expected a part of 20 rows and 30 columns"):
        regions.decode(encode(20, 30), window, shrink_by=1)


@pytest.mark.parametrize("encoded", [b"", b"\xff\xd8\xff", b"no picture", encode(20, 30)[:200]])
def test_what_is_no_jpeg_is_an_error(regions, encoded):
    with pytest.raises(RegionError, match=r"\w{3}"):
        regions.decode(encoded, CropWindow(0, 0, 5, 5), shrink_by=1)


def test_damage_above_the_last_row_is_an_error_and_below_is_not_seen(regions):
    encoded = encode(400, 100)
    cut_off = encoded[: len(encoded) // 2]
    regions.decode(cut_off, CropWindow(0, 0, 100, 100), shrink_by=1)
    with pytest.raises(RegionError, match="(?i)premature end"):
        regions.decode(cut_off, CropWindow(100, 0, 250, 100), shrink_by=1)


def test_cmyk_is_left_to_others(regions):
    file = io.BytesIO()
    Image.fromarray(noise(30, 40, 4), "CMYK").save(file, "JPEG")
    with pytest.raises(UnsupportedJpegError, match="4 components"):
        regions.decode(file.getvalue(), CropWindow(0, 0, 5, 5), shrink_by=1)


def test_scans_without_end_are_refused(regions):
    encoded = encode(20, 30, is_progressive=True)
    start = encoded.index(b"\xff\xda")
    stop = next(at for at in range(start + 2, len(encoded)) if encoded[at] == 0xFF and encoded[at + 1] not in (0, 0xFF))
    many = encoded[:start] + encoded[start:stop] * 600 + encoded[stop:]
    with pytest.raises(RegionError, match="expected at most 500 scans"):
        regions.decode(many, CropWindow(0, 0, 5, 5), shrink_by=1)


@pytest.mark.slow
@settings(max_examples=200)
@given(seed=st.integers(0, 1 << 30), is_progressive=st.booleans(), num_changes=st.integers(1, 8), data=st.data())
def test_damaged_bytes_give_an_error_or_pixels(region_library, seed, is_progressive, num_changes, data):
    encoded = bytearray(encode(70, 90, is_progressive=is_progressive))
    generator = np.random.default_rng(seed)
    for at in generator.integers(2, len(encoded), num_changes):
        encoded[at] = generator.integers(0, 256)
    window = data.draw(windows(70, 90))
    try:
        region = JpegRegions(region_library).decode(bytes(encoded), window, shrink_by=1)
    except RegionError as error:
        assert str(error)
    else:
        assert cut(region, window).shape == (window.height, window.width, 3)


def test_without_the_compiled_part_there_is_none(tmp_path, monkeypatch, caplog):
    library = tmp_path / "libjpegregion.so"
    monkeypatch.setattr(jpeg_region, "LIBRARY_PATH", library)
    assert load_library.__wrapped__() is None
    assert caplog.messages == []
    library.write_bytes(b"of another machine")
    with caplog.at_level(logging.WARNING):
        assert load_library.__wrapped__() is None
    assert "pictures are decoded whole" in caplog.text
