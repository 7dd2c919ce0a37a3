import io

import msgspec
import numpy as np
import pytest
from PIL import Image

from packer.loading.crop_decoder import CropWindow, PictureError, PictureSize
from packer.loading.loader_spec import LoaderSpec
from packer.loading.picture_decoder import choose_decoder
from packer.specs import Alpha, Encode, Fit
from tests.reading.make_dataset import IMAGE

SPEC = LoaderSpec(split="train", batch_size=1, image_px=32, evaluation_crop=1.0)
WINDOW = CropWindow(top=10, left=20, height=40, width=60)


def gradient(width, height, mode="RGB"):
    """Return a picture that is red to the right and green downwards."""
    columns = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    rows = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    image = Image.fromarray(np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8))
    return image.convert(mode)


def encode(image, image_format, **options):
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return memoryview(file.getvalue())


def cut(image, encoded, window=None, shape=(40, 60)):
    """Return a window of a sample that was packed as `image` says; all of it without one."""
    decoder = choose_decoder(image, SPEC)()
    size = decoder.read_size(encoded)
    out = np.full((*shape, 3), 77, np.uint8)
    decoder.decode_crop(encoded, window or CropWindow(0, 0, size.height, size.width), out, False)
    return out


@pytest.mark.parametrize(
    ("encoding", "image_format", "options"),
    [
        (Encode.JPEG, "JPEG", {"quality": 95}),
        (Encode.PNG, "PNG", {}),
        (Encode.WEBP, "WEBP", {"quality": 100}),
        (Encode.KEEP, "PNG", {}),
    ],
)
def test_a_window_of_each_encoding(encoding, image_format, options):
    image = gradient(128, 96)
    spec = msgspec.structs.replace(IMAGE, encode=encoding, width=128, height=96)
    pixels = cut(spec, encode(image, image_format, **options), WINDOW)
    expected = np.asarray(image.crop((20, 10, 80, 50)))
    assert np.abs(pixels.astype(int) - expected).mean() < 3


def test_mirrored_and_scaled():
    spec = msgspec.structs.replace(IMAGE, encode=Encode.PNG, width=128, height=96)
    encoded = encode(gradient(128, 96), "PNG")
    decoder = choose_decoder(spec, SPEC)()
    out = np.zeros((20, 30, 3), np.uint8)
    decoder.decode_crop(encoded, WINDOW, out, True)
    np.testing.assert_array_equal(out, cut(spec, encoded, WINDOW, (20, 30))[:, ::-1])


def test_greyscale_has_three_equal_channels():
    pixels = cut(IMAGE, encode(gradient(128, 96, "L"), "JPEG"), WINDOW)
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert pixels.std() > 10


class TestKeptAsTheyWere:
    """With `--encode keep` and no size."""

    KEEP = msgspec.structs.replace(IMAGE, encode=Encode.KEEP, width=0, height=0, fit=Fit.SHORT)

    def test_they_come_turned_upright(self):
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees clockwise
        encoded = encode(gradient(64, 32), "JPEG", exif=exif)
        assert choose_decoder(self.KEEP, SPEC)().read_size(encoded) == PictureSize(64, 32)
        pixels = cut(self.KEEP, encoded, shape=(64, 32))
        assert pixels[60, 16, 0] > 200 > 50 > pixels[4, 16, 0]

    def test_they_come_no_larger_than_needed(self):
        assert choose_decoder(self.KEEP, SPEC)().read_size(encode(gradient(640, 320), "PNG")) == PictureSize(32, 64)

    def test_transparency_is_over_white(self):
        assert cut(self.KEEP, encode(Image.new("RGBA", (64, 64)), "PNG")).min() == 255


def test_alpha_that_was_kept_is_over_white():
    spec = msgspec.structs.replace(IMAGE, encode=Encode.PNG, alpha=Alpha.KEEP, width=64, height=64)
    assert cut(spec, encode(Image.new("RGBA", (64, 64)), "PNG")).min() == 255


@pytest.mark.parametrize("encoding", [Encode.JPEG, Encode.PNG])
@pytest.mark.parametrize("encoded", [b"", b"nothing", bytes(encode(gradient(128, 96), "JPEG"))[:-600]])
def test_what_does_not_decode_is_an_error(encoding, encoded):
    with pytest.raises(PictureError):
        cut(msgspec.structs.replace(IMAGE, encode=encoding), memoryview(encoded), CropWindow(0, 0, 96, 128))
