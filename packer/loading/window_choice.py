"""Which part of a picture becomes a sample, and whether it is mirrored: decided by hashes alone.

The same (seed, epoch, shard, record) give the same window on every machine, in whatever order records are read.
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
    """What all chance of one sample in one epoch comes from."""

    digest: bytes
    """32 bytes."""

    @property
    def is_flipped(self) -> bool:
        """Half of all samples are mirrored. The bit is one that `_fractions` leaves alone."""
        return bool(self.digest[0] & 1)

    @property
    def number(self) -> int:
        """A seed of 64 bits for generators of other libraries, which tells nothing of the window."""
        return int.from_bytes(hashlib.sha256(self.digest + b"transform").digest()[:8], "little")


def sample_seed(seed: int, epoch: int, shard: int, record: int) -> SampleSeed:
    """Return the seed of a record (by the index of its shard in the manifest) in an epoch."""
    return SampleSeed(hashlib.sha256(b"crop\0%d\0%d\0%d\0%d" % (seed, epoch, shard, record)).digest())


def random_window(size: PictureSize, min_area: float, seed: SampleSeed) -> CropWindow:
    """Return a window of random area, shape and place (Szegedy et al. 2014, "Going deeper with convolutions", 6).

    In a picture so long that none fits, it is the largest one in the middle whose shape is allowed.
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
    """Return the central square of a share of the short side."""
    side = max(1, round(min(size.height, size.width) * evaluation_crop))
    return CropWindow((size.height - side) // 2, (size.width - side) // 2, side, side)


def _fractions(digest: bytes) -> tuple[float, float, float, float]:
    """Return four numbers in [0, 1), of 53 bits each; the low 11 bits of each word are left over."""
    area, ratio, top, left = _WORDS.unpack(digest)
    scale = 2.0**-53
    return (area >> 11) * scale, (ratio >> 11) * scale, (top >> 11) * scale, (left >> 11) * scale
