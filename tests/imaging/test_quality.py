"""Photographs against the ideal: full decode, Lanczos in floating point."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from packer.imaging.transform import sample_pixels
from tests.imaging.images import image_spec

pytestmark = [
    pytest.mark.sample,
    pytest.mark.skipif("SHARDPACK_SAMPLE" not in os.environ, reason="SHARDPACK_SAMPLE names no folder of photographs"),
]

NUM_PHOTOGRAPHS = 32
LEAST_DB = 50


def photographs():
    """Evenly spread over the folder, without those whose profile changes their colours or that are not upright."""
    paths = sorted(Path(os.environ["SHARDPACK_SAMPLE"]).glob("*.JP*G"))
    for path in paths[:: max(1, len(paths) // (2 * NUM_PHOTOGRAPHS))]:
        data = path.read_bytes()
        info = Image.open(io.BytesIO(data)).info
        if "icc_profile" not in info and "exif" not in info:
            yield path.name, data


def ideal(data, size):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    bands = [np.asarray(band.convert("F").resize(size, Image.Resampling.LANCZOS)) for band in image.split()]
    return np.stack(bands, axis=-1).clip(0, 255)


def test_resized_photographs_are_near_the_ideal():
    chosen = list(photographs())[:NUM_PHOTOGRAPHS]
    assert chosen

    for name, data in chosen:
        pixels = sample_pixels(data, image_spec(256))
        error = np.mean((ideal(data, pixels.size) - np.asarray(pixels, dtype=np.float64)) ** 2)
        assert 10 * math.log10(255**2 / error) >= LEAST_DB, name
