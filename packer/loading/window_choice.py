"""Chooses the part of a picture that becomes a sample, and whether it is mirrored, by hashes alone.

The same (seed, epoch, shard, record) gives the same window on every machine, in whatever order records are read.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass

from packer.loading.crop_decoder import CropWindow, PictureSize

_ASPECT_RATIOS = (3 / 4, 4 / 3)
_LOG_RATIOS = (math.log(_ASPECT_RATIOS[0]), math.log(_ASPECT_RATIOS[1]))
_ATTEMPTS = 10
_WORDS = struct.Struct("<4Q")


@dataclass(frozen=True, slots=True)
class SampleSeed:
    """The source of all random choices for one sample in one epoch."""

    digest: bytes
    """32 bytes."""

    @property
    def is_flipped(self) -> bool:
        """True for half of all samples. `_fractions` does not use this bit."""
        return bool(self.digest[0] & 1)

    @property
    def number(self) -> int:
        """A seed of 64 bits for generators of other libraries; it is independent of the window."""
        return int.from_bytes(hashlib.sha256(self.digest + b"transform").digest()[:8], "little")


def sample_seed(seed: int, epoch: int, shard: int, record: int) -> SampleSeed:
    """Return the seed of a record in an epoch. `shard` is the index of its shard in the manifest."""
    return SampleSeed(hashlib.sha256(b"crop\0%d\0%d\0%d\0%d" % (seed, epoch, shard, record)).digest())


def random_window(size: PictureSize, min_area: float, seed: SampleSeed) -> CropWindow:
    """Return a window of random area, shape and place (Szegedy et al. 2014, "Going deeper with convolutions", 6).

    If no window fits after some attempts, as in a very long picture, it is the largest central one of an allowed shape.
    """
    height, width = size.height, size.width
    least, most = _LOG_RATIOS
    digest = seed.digest
    for attempt in range(_ATTEMPTS):
        area_at, ratio_at, top_at, left_at = _fractions(digest)
        area = height * width * (min_area + (1 - min_area) * area_at)
        ratio = math.exp(least + (most - least) * ratio_at)
        rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = int(top_at * (height - rows + 1)), int(left_at * (width - columns + 1))
            return CropWindow(top, left, rows, columns)
        digest = hashlib.sha256(seed.digest + b"%d" % attempt).digest()
    rows = min(height, max(1, round(width / _ASPECT_RATIOS[0])))
    columns = min(width, max(1, round(height * _ASPECT_RATIOS[1])))
    return CropWindow((height - rows) // 2, (width - columns) // 2, rows, columns)


def central_window(size: PictureSize, evaluation_crop: float) -> CropWindow:
    """Return the central square whose side is `evaluation_crop` times the picture's short side."""
    side = max(1, round(min(size.height, size.width) * evaluation_crop))
    return CropWindow((size.height - side) // 2, (size.width - side) // 2, side, side)


def _fractions(digest: bytes) -> tuple[float, float, float, float]:
    """Return four numbers in [0, 1) of 53 bits each, made from four words of 64 bits without their low 11 bits."""
    area, ratio, top, left = _WORDS.unpack(digest)
    scale = 2.0**-53
    return (area >> 11) * scale, (ratio >> 11) * scale, (top >> 11) * scale, (left >> 11) * scale
