import io

import numpy as np
import pytest
from PIL import Image

from packer.loading.crop_decoder import CropWindow, PictureError, PictureSize
from packer.loading.whole_decoder import WholeJpegDecoder


def encode(height, width, *, quality=95):
    rows = np.linspace(0, 255, height)[:, None, None]
    columns = np.linspace(255, 0, width)[None, :, None]
    blue = np.full((height, width, 1), 90.0)
    pixels = np.concatenate([rows + 0 * columns, columns + 0 * rows, blue], axis=2)
    file = io.BytesIO()
    Image.fromarray(np.uint8(pixels)).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def crop(encoded, window, side, *, is_flipped=False):
    out = np.zeros((side, side, 3), np.uint8)
    WholeJpegDecoder().decode_crop(memoryview(encoded), window, out, is_flipped)
    return out


def pillow_crop(encoded, window, side):
    box = (window.left, window.top, window.left + window.width, window.top + window.height)
    image = Image.open(io.BytesIO(encoded)).crop(box).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("window", [CropWindow(0, 0, 60, 90), CropWindow(13, 21, 40, 30), CropWindow(50, 80, 10, 10)])
@pytest.mark.parametrize("side", [16, 64])
def test_a_window_is_what_pillow_makes_of_it(window, side):
    encoded = encode(60, 90)
    assert WholeJpegDecoder().read_size(memoryview(encoded)) == PictureSize(60, 90)
    difference = np.abs(crop(encoded, window, side) - pillow_crop(encoded, window, side))
    assert difference.max() <= 1


def test_a_large_window_is_shrunk_by_the_decoder_and_stays_in_place():
    encoded, window = encode(800, 1200), CropWindow(101, 203, 601, 777)
    difference = np.abs(crop(encoded, window, 32) - pillow_crop(encoded, window, 32))
    assert difference.max() <= 3


def test_mirrored():
    encoded, window = encode(60, 90), CropWindow(3, 5, 50, 70)
    np.testing.assert_array_equal(crop(encoded, window, 20, is_flipped=True), crop(encoded, window, 20)[:, ::-1])


def test_one_decoder_takes_pictures_of_any_size_in_turn():
    decoder = WholeJpegDecoder()
    window = CropWindow(0, 0, 20, 20)
    for height, width, side in [(30, 40, 8), (300, 200, 24), (20, 20, 8)]:
        out = np.zeros((side, side, 3), np.uint8)
        encoded = encode(height, width)
        decoder.decode_crop(memoryview(encoded), window, out, False)
        np.testing.assert_array_equal(out, crop(encoded, window, side))


@pytest.mark.parametrize("encoded", [b"", b"no picture", encode(60, 90)[:-300]])
def test_what_does_not_decode_is_an_error(encoded):
    with pytest.raises(PictureError):
        crop(encoded, CropWindow(0, 0, 10, 10), 8)
