"""Statistics of pixels as exact integers, so that no order of summation can reach a byte of the manifest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from operator import add

import msgspec

from packer.dataset.manifest import PixelStatistics

_LEVELS = 256


class PixelSums(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exact sums over pixels, per channel: they add up in any order."""

    count: int = 0
    """Pixels."""
    sums: tuple[int, ...] = ()
    """Sum of the values 0-255 of each channel."""
    squares: tuple[int, ...] = ()
    """Sum of their squares."""

    def __add__(self, other: PixelSums) -> PixelSums:
        if not self.count or not other.count:
            return self if self.count else other
        return PixelSums(
            count=self.count + other.count,
            sums=tuple(map(add, self.sums, other.sums)),
            squares=tuple(map(add, self.squares, other.squares)),
        )


def pixel_sums(histogram: Sequence[int]) -> PixelSums:
    """Return the sums of a histogram of channels x 256 counts."""
    channels = [histogram[start : start + _LEVELS] for start in range(0, len(histogram), _LEVELS)]
    return PixelSums(
        count=sum(channels[0]) if channels else 0,
        sums=tuple(sum(level * n for level, n in enumerate(channel)) for channel in channels),
        squares=tuple(sum(level * level * n for level, n in enumerate(channel)) for channel in channels),
    )


def pixel_statistics(total: PixelSums) -> PixelStatistics | None:
    """Return mean and standard deviation per channel in units of 0-255, or None without pixels; divided once."""
    if not total.count:
        return None
    variances = [
        Fraction(square * total.count - value * value, total.count**2)
        for value, square in zip(total.sums, total.squares, strict=True)
    ]
    return PixelStatistics(
        mean=tuple(value / total.count for value in total.sums),
        std=tuple(math.sqrt(variance) for variance in variances),
    )
