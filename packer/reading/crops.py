"""Which part of a picture becomes a sample: windows in pixels, chosen without any framework."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from packer.reading.read_spec import BatchSpec

_ASPECT_RATIOS = (3 / 4, 4 / 3)
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a picture, in pixels: rows [top, top + height), columns [left, left + width)."""

    top: int
    left: int
    height: int
    width: int


def random_window(height: int, width: int, batch: BatchSpec, generator: random.Random) -> Window:
    """Return a window of random area, shape and place (Szegedy et al. 2014, "Going deeper with convolutions", 6).

    In a picture so long that none fits, it is the largest one in the middle whose shape is allowed.
    """
    least, most = (math.log(ratio) for ratio in _ASPECT_RATIOS)
    for _ in range(_ATTEMPTS):
        area = height * width * generator.uniform(batch.min_area, 1.0)
        ratio = math.exp(generator.uniform(least, most))
        rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = generator.randrange(height - rows + 1), generator.randrange(width - columns + 1)
            return Window(top, left, rows, columns)
    rows = min(height, max(1, round(width / _ASPECT_RATIOS[0])))
    columns = min(width, max(1, round(height * _ASPECT_RATIOS[1])))
    return Window((height - rows) // 2, (width - columns) // 2, rows, columns)


def central_window(height: int, width: int, batch: BatchSpec) -> Window:
    """Return the central square of `evaluation_crop` of the short side."""
    side = max(1, round(min(height, width) * batch.evaluation_crop))
    return Window((height - side) // 2, (width - side) // 2, side, side)
