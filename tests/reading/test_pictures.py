import dataclasses
import io

import msgspec
import numpy as np
import pytest
from PIL import Image

from packer.errors import DataSetError
from packer.reading.crops import Window
from packer.reading.pictures import picture_cutter
from packer.reading.read_spec import BatchSpec
from packer.specs import Alpha, Encode, Fit
from tests.reading.make_dataset import IMAGE, make_samples

BATCH = BatchSpec(batch_size=1, image_px=32, evaluation_crop=1.0)
WINDOW = Window(top=10, left=20, height=40, width=60)


def gradient(width, height, mode="RGB"):
    """Return a picture that is red to the right and green downwards."""
    columns = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    rows = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    image = Image.fromarray(np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8))
    return image.convert(mode)


def sample_of(image, image_format, **options):
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return dataclasses.replace(make_samples(1)[0], encoded=file.getvalue(), image_format=image_format.lower())


@pytest.mark.parametrize(
    ("encode", "image_format", "options"),
    [
        (Encode.JPEG, "JPEG", {"quality": 95}),
        (Encode.PNG, "PNG", {}),
        (Encode.WEBP, "WEBP", {"quality": 100}),
        (Encode.KEEP, "PNG", {}),
    ],
)
def test_a_window_of_each_encoding(encode, image_format, options):
    image = gradient(128, 96)
    spec = msgspec.structs.replace(IMAGE, encode=encode, width=128, height=96)
    pixels = picture_cutter(spec, BATCH)(sample_of(image, image_format, **options), lambda height, width: WINDOW)
    assert (pixels.shape, pixels.dtype) == ((40, 60, 3), np.uint8)
    expected = np.asarray(image.crop((20, 10, 80, 50)))
    assert np.abs(pixels.astype(int) - expected).mean() < 3


def test_a_window_is_chosen_by_height_and_width():
    asked = []

    def choose(height, width):
        asked.append((height, width))
        return WINDOW

    picture_cutter(IMAGE, BATCH)(sample_of(gradient(128, 96), "JPEG"), choose)
    assert asked == [(96, 128)]


def test_a_large_jpeg_is_shrunk_to_no_less_than_twice_the_image():
    image = gradient(1600, 1200)
    window = Window(top=300, left=400, height=600, width=800)
    pixels = picture_cutter(IMAGE, BATCH)(sample_of(image, "JPEG", quality=95), lambda height, width: window)
    assert 64 <= pixels.shape[0] < 150
    # A small part of the same picture is as sharp as it can be.
    small = picture_cutter(IMAGE, BATCH)(sample_of(image, "JPEG", quality=95), lambda height, width: WINDOW)
    assert small.shape == (40, 60, 3)
    expected = np.asarray(image.crop((400, 300, 1200, 900)).resize(pixels.shape[1::-1], Image.Resampling.BOX))
    assert np.abs(pixels.astype(int) - expected).mean() < 3


def test_greyscale_has_three_equal_channels():
    pixels = picture_cutter(IMAGE, BATCH)(sample_of(gradient(128, 96, "L"), "JPEG"), lambda height, width: WINDOW)
    assert pixels.shape == (40, 60, 3)
    assert (pixels[..., 0] == pixels[..., 2]).all()


class TestKeptAsTheyWere:
    """With `--encode keep` and no size."""

    SPEC = msgspec.structs.replace(IMAGE, encode=Encode.KEEP, width=0, height=0, fit=Fit.SHORT)

    def cut_all(self, sample):
        return picture_cutter(self.SPEC, BATCH)(sample, lambda height, width: Window(0, 0, height, width))

    def test_they_come_turned_upright(self):
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees clockwise
        pixels = self.cut_all(sample_of(gradient(64, 32), "JPEG", exif=exif))
        assert pixels.shape == (64, 32, 3)
        assert pixels[60, 16, 0] > 200 > 50 > pixels[4, 16, 0]

    def test_they_come_no_larger_than_needed(self):
        assert self.cut_all(sample_of(gradient(640, 320), "PNG")).shape == (32, 64, 3)

    def test_transparency_is_over_white(self):
        assert self.cut_all(sample_of(Image.new("RGBA", (64, 64)), "PNG")).min() == 255


def test_alpha_that_was_kept_is_over_white():
    spec = msgspec.structs.replace(IMAGE, encode=Encode.PNG, alpha=Alpha.KEEP, width=64, height=64)
    sample = sample_of(Image.new("RGBA", (64, 64)), "PNG")
    assert picture_cutter(spec, BATCH)(sample, lambda height, width: WINDOW).min() == 255


@pytest.mark.parametrize("encode", [Encode.JPEG, Encode.PNG])
@pytest.mark.parametrize("encoded", [b"", b"nothing", sample_of(gradient(128, 96), "JPEG").encoded[:-600]])
def test_a_sample_that_does_not_decode_is_named(encode, encoded):
    spec = msgspec.structs.replace(IMAGE, encode=encode)
    sample = dataclasses.replace(make_samples(1)[0], encoded=encoded)
    with pytest.raises(DataSetError, match=r"sample '0/00000.jpg': expected jpeg that decodes, found: .*--decode"):
        picture_cutter(spec, BATCH)(sample, lambda height, width: WINDOW)
