"""Masks that are told as shapes: polygons, or runs of pixels, as MSCOCO has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from packer.imaging.field_geometry import Mask
from packer.imaging.geometry import Size
from packer.imaging.rejects import RejectError, RejectReason
from packer.parsing import ParseError, parse_json

_MAX_VALUE = 255


def draw_mask(shapes: str, size: Size) -> Mask:
    """Return a mask uint8 or uint16 [height, width] of shapes, one over the other, 0 where none is.

    Args:
        shapes: JSON, a list of {value, shape}. A shape is a list of polygons, each a list of x and y in turn, or an
            object of `size` (height, width) and `counts`: lengths of runs that are outside and inside in turn, column
            by column, as numbers or in MSCOCO's text.
        size: width and height of the mask.

    Raises RejectError for a shape that is none, or is of another size.
    """
    width, height = size
    try:
        parsed = parse_json(shapes)
        most = max((int(shape["value"]) for shape in parsed), default=0)
        mask: npt.NDArray[Any] = np.zeros((height, width), np.uint8 if most <= _MAX_VALUE else np.uint16)
        for shape in parsed:
            mask[_inside(shape["shape"], size)] = shape["value"]
    except (ParseError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise RejectError(RejectReason.FIELD, f"expected polygons or runs of pixels, got others: {error}") from None
    return mask


def _inside(shape: Any, size: Size) -> npt.NDArray[np.bool_]:
    if isinstance(shape, dict):
        return _runs(shape, size)
    inside = np.zeros(size[::-1], bool)
    for polygon in shape:
        inside |= _polygon(np.asarray(polygon, np.float64).reshape(-1, 2), size)
    return inside


def _polygon(points: npt.NDArray[np.float64], size: Size) -> npt.NDArray[np.bool_]:
    """Return which pixels have their middle in a polygon: those with an odd number of edges to their left."""
    width, height = size
    crossings = np.zeros((height, width + 1), np.int64)
    middles = np.arange(height) + 0.5
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        rows = np.flatnonzero((middles >= min(y0, y1)) & (middles < max(y0, y1)))
        if len(rows):
            xs = x0 + (middles[rows] - y0) * (x1 - x0) / (y1 - y0)
            np.add.at(crossings, (rows, np.clip(np.ceil(xs - 0.5), 0, width).astype(np.int64)), 1)
    inside: npt.NDArray[np.bool_] = np.cumsum(crossings[:, :width], axis=1) % 2 == 1
    return inside


def _runs(shape: dict[str, Any], size: Size) -> npt.NDArray[np.bool_]:
    counts = shape["counts"]
    lengths = _parse_counts(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if list(shape["size"]) != [size[1], size[0]] or min(lengths, default=0) < 0 or sum(lengths) != size[0] * size[1]:
        raise ValueError(f"runs of {sum(lengths):,} pixels, {shape['size']}, for a picture of {size[0]}x{size[1]}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(size).T


def _parse_counts(text: str) -> Sequence[int]:
    """Return the lengths in MSCOCO's text: five bits a letter, the lowest first; from the fourth on as differences."""
    lengths: list[int] = []
    value = shift = 0
    for letter in text.encode():
        bits = letter - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the letter {chr(letter)!r} in runs")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return lengths
