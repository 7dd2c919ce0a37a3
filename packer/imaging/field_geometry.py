"""Where the fields of a picture go when it is resized, cropped, padded, turned or mirrored. Pure arithmetic.

Places are continuous, in pixels: (0, 0) is the upper left corner of the upper left pixel, (width, height) the lower
right one of the last. So a box that covers the picture goes from (0, 0) to (width, height).

- Every place is moved as the pixels are.
- A box is then clipped to the picture. It is dropped where less than a pixel of its width or height, or less than a
  tenth of its area, is left.
- A key point is never dropped, since its number among the others means something. One outside of the picture becomes
  invisible.
- A mask takes the value of the nearest pixel of the source, and is 0 where the picture is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from packer.imaging.geometry import Box, Geometry, Size

Places: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.uint8 | np.uint16]

MIN_BOX_PX = 1.0
MIN_BOX_SHARE = 0.1

_TURNS: Sequence[tuple[bool, bool, bool]] = (
    (False, False, False),
    (False, True, False),
    (False, True, True),
    (False, False, True),
    (True, False, False),
    (True, True, False),
    (True, True, True),
    (True, False, True),
)
"""By EXIF orientation from 1 to 8: whether x and y change places; then whether left and right do, top and bottom do."""


@dataclass(frozen=True, slots=True)
class PictureMove:
    """How a source becomes a picture: a box of the source is resized, turned, mirrored and padded."""

    box: Box
    """Part of the source that is used, as it is stored."""
    resized: Size
    """Size that the box is resized to, before it is turned."""
    orientation: int
    """EXIF orientation, 1 to 8."""
    offset: tuple[int, int]
    """Left and top of the turned picture on its canvas."""
    canvas: Size
    """Width and height of the result."""


def move_of(geometry: Geometry, orientation: int) -> PictureMove:
    """Return the move of a picture whose pixels are resized as `geometry` says, as they are stored, and then turned."""
    upright = geometry.transposed() if orientation >= 5 else geometry
    return PictureMove(geometry.box, geometry.resized, orientation, upright.offset, upright.canvas)


def still(size: Size) -> PictureMove:
    """Return the move of a picture that stays as it is."""
    return PictureMove((0.0, 0.0, float(size[0]), float(size[1])), size, 1, (0, 0), size)


def move_places(xy: npt.ArrayLike, move: PictureMove) -> npt.NDArray[np.float64]:
    """Return where places [n, 2] of the source (x, y) are in the result, also those that lie outside of it."""
    left, top, width, height = move.box
    wide, high = move.resized
    moved = (np.asarray(xy, np.float64).reshape(-1, 2) - (left, top)) * (wide / width, high / height)
    is_transposed, is_mirrored, is_flipped = _TURNS[move.orientation - 1]
    if is_transposed:
        moved, wide, high = moved[:, ::-1], high, wide
    x, y = moved[:, 0], moved[:, 1]
    x = wide - x if is_mirrored else x
    y = high - y if is_flipped else y
    return np.stack([x + move.offset[0], y + move.offset[1]], axis=1)


def move_boxes(corners: npt.ArrayLike, move: PictureMove) -> tuple[Places, npt.NDArray[np.intp]]:
    """Move boxes.

    Args:
        corners: [n, 4] of left, top, right, bottom in pixels of the source; right and bottom are not less.
        move: of their picture.

    Returns:
        float32 [m, 4] of the boxes that are left, in pixels of the result; and their indices among those given.
    """
    given = np.asarray(corners, np.float64).reshape(-1, 4)
    ends = move_places(given, move).reshape(-1, 2, 2)
    low, high = ends.min(axis=1), ends.max(axis=1)
    inside_low, inside_high = np.clip(low, 0, move.canvas), np.clip(high, 0, move.canvas)
    sides, inside = high - low, inside_high - inside_low
    is_kept = (inside >= MIN_BOX_PX).all(axis=1) & (inside.prod(axis=1) >= MIN_BOX_SHARE * sides.prod(axis=1))
    kept = np.flatnonzero(is_kept)
    return np.concatenate([inside_low, inside_high], axis=1)[kept].astype(np.float32), kept


def move_points(xy: npt.ArrayLike, visible: npt.ArrayLike, move: PictureMove) -> tuple[Places, npt.NDArray[np.int64]]:
    """Move key points [n, 2] and return them, float32, with what is visible of them: 0 outside of the result."""
    moved = move_places(xy, move).astype(np.float32)
    is_inside = ((moved >= 0) & (moved <= np.asarray(move.canvas, np.float32))).all(axis=1)
    return moved, np.where(is_inside, np.asarray(visible, np.int64), 0)


def move_mask(mask: Mask, move: PictureMove) -> Mask:
    """Return a mask [height, width] of the source as that of the result, [canvas height, canvas width]."""
    left, top, width, height = move.box
    wide, high = move.resized
    columns = _nearest(left, width, wide, mask.shape[1])
    rows = _nearest(top, height, high, mask.shape[0])
    moved = mask[rows[:, None], columns]
    is_transposed, is_mirrored, is_flipped = _TURNS[move.orientation - 1]
    moved = moved.T if is_transposed else moved
    moved = moved[:, ::-1] if is_mirrored else moved
    moved = moved[::-1] if is_flipped else moved
    if moved.shape == move.canvas[::-1]:
        return np.ascontiguousarray(moved)
    canvas = np.zeros(move.canvas[::-1], mask.dtype)
    x, y = move.offset
    canvas[y : y + moved.shape[0], x : x + moved.shape[1]] = moved
    return canvas


def _nearest(start: float, length: float, num_pixels: int, limit: int) -> npt.NDArray[np.intp]:
    """Return the pixel of the source under the middle of each pixel of the result."""
    middles = start + (2 * np.arange(num_pixels) + 1) * length / (2 * num_pixels)  # exact where it is a whole number
    pixels: npt.NDArray[np.intp] = np.clip(np.floor(middles).astype(np.intp), 0, limit - 1)
    return pixels
