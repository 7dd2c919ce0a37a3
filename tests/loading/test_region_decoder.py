from __future__ import annotations

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from packer.loading import region_decoder
from packer.loading.crop_decoder import CropWindow, PictureError, PictureSize
from packer.loading.jpeg_region import JpegRegions
from packer.loading.region_decoder import RegionJpegDecoder, find_region_jpeg_decoder
from packer.loading.whole_decoder import WholeJpegDecoder


def encode(height, width):
    pixels = np.random.default_rng(1).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    smooth = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return memoryview(simplejpeg.encode_jpeg(np.ascontiguousarray(smooth), 90, "RGB", "420"))


@pytest.fixture
def decoder(region_library):
    return RegionJpegDecoder(JpegRegions(region_library))


def crop(decoder, encoded, window, side, *, is_flipped=False):
    out = np.zeros((side, side, 3), np.uint8)
    decoder.decode_crop(encoded, window, out, is_flipped)
    return out


@pytest.mark.parametrize("is_flipped", [False, True])
@pytest.mark.parametrize(
    ("window", "side"),
    [
        (CropWindow(0, 0, 600, 900), 224),
        (CropWindow(37, 111, 301, 222), 224),
        (CropWindow(16, 32, 560, 801), 100),  # shrunk by 2
        (CropWindow(101, 203, 499, 680), 32),  # by 4
        (CropWindow(599, 899, 1, 1), 8),
    ],
)
def test_a_crop_equals_that_of_the_whole_picture(decoder, window, side, is_flipped):
    encoded = encode(600, 900)
    expected = crop(WholeJpegDecoder(), encoded, window, side, is_flipped=is_flipped)
    np.testing.assert_array_equal(crop(decoder, encoded, window, side, is_flipped=is_flipped), expected)
    assert decoder.read_size(encoded) == PictureSize(600, 900)


def test_its_id_is_its_own(decoder):
    assert decoder.decoder_id != WholeJpegDecoder().decoder_id


def test_damage_is_an_error(decoder):
    encoded = encode(300, 200)
    with pytest.raises(PictureError, match="(?i)premature end"):
        crop(decoder, encoded[: len(encoded) // 2], CropWindow(0, 0, 300, 200), 16)


def test_what_the_compiled_part_does_not_read_is_decoded_whole(decoder):
    file = io.BytesIO()
    Image.new("CMYK", (40, 30), (10, 20, 30, 40)).save(file, "JPEG")
    encoded, window = memoryview(file.getvalue()), CropWindow(3, 4, 20, 30)
    try:
        expected = crop(WholeJpegDecoder(), encoded, window, 8)
    except PictureError:
        with pytest.raises(PictureError):
            crop(decoder, encoded, window, 8)
    else:
        np.testing.assert_array_equal(crop(decoder, encoded, window, 8), expected)


def test_it_is_found_where_the_compiled_part_is(region_library, monkeypatch):
    assert isinstance(find_region_jpeg_decoder(), RegionJpegDecoder)
    monkeypatch.setattr(region_decoder, "load_library", lambda: None)
    assert find_region_jpeg_decoder() is None
