import io
import math

import numpy as np
import pytest
from PIL import Image

from packer.imaging.encoding_loss import encoding_psnr_db
from packer.imaging.transform import sample_pixels, transform_image
from packer.options import parse_options
from packer.specs import ImageSpec
from tests.tools.datasets import image_bytes


def spec(**options: object) -> ImageSpec:
    return parse_options({"source": "in", "dest": "out", "resize": "64", **options}).image_spec()


def test_loss_is_that_of_encoding_alone() -> None:
    data, asked = image_bytes(3, width=320, height=240), spec(quality=70)
    encoded = transform_image(data, asked).encoded
    before = np.asarray(sample_pixels(data, asked), dtype=float)
    after = np.asarray(Image.open(io.BytesIO(encoded)), dtype=float)
    expected = 10 * math.log10(255**2 / np.mean((after - before) ** 2))
    assert encoding_psnr_db(data, encoded, asked) == pytest.approx(expected, abs=0.001)


def test_a_higher_quality_loses_less_and_png_nothing() -> None:
    data = image_bytes(3, width=320, height=240)
    losses = [
        encoding_psnr_db(data, transform_image(data, asked).encoded, asked)
        for asked in (spec(quality=50), spec(quality=95), spec(encode="png"))
    ]
    assert losses == sorted(losses)
    assert losses[2] == math.inf > losses[1]


def test_what_is_kept_loses_nothing() -> None:
    data = image_bytes(3)
    for asked in (spec(resize=None, encode="keep"), spec(resize="30", encode="keep")):
        encoded = transform_image(data, asked).encoded
        assert encoded == data
        assert encoding_psnr_db(data, encoded, asked) == math.inf


def test_transparent_samples() -> None:
    picture = Image.new("RGBA", (80, 80), (200, 10, 10, 128))
    picture.save(buffer := io.BytesIO(), "PNG")
    asked = spec(encode="webp", alpha="keep", quality=90)
    loss = encoding_psnr_db(buffer.getvalue(), transform_image(buffer.getvalue(), asked).encoded, asked)
    assert 30 < loss < math.inf
