"""Where every pixel of a sample comes from: pure arithmetic on sizes, all of them (width, height) in pixels.

    source                      resized              canvas
    +---------------------+     +-----------+        +-----------+
    |    +-----------+    |     |           |        |  padding  |
    |    |    box    |    | --> |           | -----> +-----------+ <- offset
    |    +-----------+    |     |           |        |  resized  |
    +---------------------+     +-----------+        +-----------+

`box` is smaller than the source for cover alone, `resized` smaller than the canvas for contain alone. Sides are
rounded half up in integers, so that no machine's floating point decides a size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from packer.specs import Fit, ImageSpec

Size: TypeAlias = tuple[int, int]
Extent: TypeAlias = tuple[float, float]
"""Width and height in pixels, of which fractions count: a source of 500 shrunk by 8 measures 62.5."""
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, width and height in pixels; fractions of a pixel count."""

_DRAFT_FACTOR = 2
"""A decoder may shrink to no less than this many times the target: at 1x a camera's picture loses 1.4 dB."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a source of a given size becomes a canvas."""

    box: Box
    """Part of the source that is used."""
    resized: Size
    """Size that the box is resampled to."""
    canvas: Size
    """Size of the sample."""
    offset: tuple[int, int]
    """Left and top of the resized picture on the canvas."""
    full: Size
    """Size that the whole source would have at the box's scale, rounded up."""

    @property
    def draft_request(self) -> Size:
        """The smallest size of the whole source that a decoder may shrink it to."""
        return self.full[0] * _DRAFT_FACTOR, self.full[1] * _DRAFT_FACTOR

    def transposed(self) -> Geometry:
        """Return the same with x and y exchanged."""
        left, top, width, height = self.box
        return Geometry(
            box=(top, left, height, width),
            resized=self.resized[::-1],
            canvas=self.canvas[::-1],
            offset=self.offset[::-1],
            full=self.full[::-1],
        )


def plan_geometry(source: Size, spec: ImageSpec) -> Geometry:
    """Return the geometry for a source of `source` pixels (each side at least 1), as it is looked at."""
    return _PLANS[spec.fit](source, (spec.width, spec.height))


def scale_box(box: Box, source: Size, extent: Extent) -> Box:
    """Return `box` of a source of `source` pixels in the pixels of its shrunken copy.

    `extent` is what the source measures in the copy. Where that is 62.5, the copy has 63 columns, and the last one is
    half invented by the decoder.
    """
    x, y = extent[0] / source[0], extent[1] / source[1]
    left, top = box[0] * x, box[1] * y
    # Rounding may push the far edges past the extent by one unit in the last place, which resizers refuse.
    return left, top, min(box[2] * x, extent[0] - left), min(box[3] * y, extent[1] - top)


def _plan_short(source: Size, request: Size) -> Geometry:
    return _whole(source, _scaled_to(source, request[0], min(source)))


def _plan_long(source: Size, request: Size) -> Geometry:
    return _whole(source, _scaled_to(source, request[0], max(source)))


def _plan_stretch(source: Size, request: Size) -> Geometry:
    return _whole(source, request)


def _plan_contain(source: Size, request: Size) -> Geometry:
    (width, height), (wide, high) = source, request
    is_wider = width * high >= height * wide
    inner = _scaled_to(source, wide, width) if is_wider else _scaled_to(source, high, height)
    offset = ((wide - inner[0]) // 2, (high - inner[1]) // 2)
    return Geometry(box=(0.0, 0.0, width, height), resized=inner, canvas=request, offset=offset, full=inner)


def _plan_cover(source: Size, request: Size) -> Geometry:
    (width, height), (wide, high) = source, request
    if width * high >= height * wide:
        used = height * wide / high
        box = ((width - used) / 2, 0.0, used, float(height))
        full = (-(-width * high // height), high)
    else:
        used = width * high / wide
        box = (0.0, (height - used) / 2, float(width), used)
        full = (wide, -(-height * wide // width))
    return Geometry(box=box, resized=request, canvas=request, offset=(0, 0), full=full)


def _whole(source: Size, resized: Size) -> Geometry:
    box = (0.0, 0.0, float(source[0]), float(source[1]))
    return Geometry(box=box, resized=resized, canvas=resized, offset=(0, 0), full=resized)


def _scaled_to(source: Size, target: int, side: int) -> Size:
    """Scale both sides by target / side, rounded half up, to no less than one pixel."""
    width, height = ((2 * length * target + side) // (2 * side) for length in source)
    return max(1, width), max(1, height)


_PLANS: Mapping[Fit, Callable[[Size, Size], Geometry]] = MappingProxyType(
    {
        Fit.SHORT: _plan_short,
        Fit.LONG: _plan_long,
        Fit.COVER: _plan_cover,
        Fit.CONTAIN: _plan_contain,
        Fit.STRETCH: _plan_stretch,
    }
)
