"""The interface between the loader and decoders: from an encoded picture to the scaled pixels of one part of it.

A decoder belongs to one thread, since it reuses its buffers from picture to picture. Libraries, and releases of one
library, decode to slightly different pixels. So all ranks of a run must use a decoder of the same id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""RGB [height, width, 3], C-contiguous."""


@dataclass(frozen=True, slots=True)
class PictureSize:
    """Height and width of a picture in pixels."""

    height: int
    width: int


@dataclass(frozen=True, slots=True)
class CropWindow:
    """A part of a picture at full size, in pixels: rows [top, top + height), columns [left, left + width)."""

    top: int
    left: int
    height: int
    width: int


class CropDecoder(Protocol):
    """Decodes parts of pictures; used only by the thread that made it."""

    @property
    def decoder_id(self) -> str:
        """Short ASCII text, such as ``whole-1``. Decoders with equal ids give equal pixels."""

    def read_size(self, encoded: memoryview) -> PictureSize:
        """Return the size of the whole picture, decoded and upright; read only its header if possible.

        Raises:
            PictureError: the bytes are not a picture that this decoder reads.
        """

    def decode_crop(self, encoded: memoryview, window: CropWindow, out: Pixels, is_flipped: bool) -> None:
        """Fill `out` with a window of the picture, scaled to the size of `out` with an antialiased triangle filter.

        Pixels outside of the window do not contribute, except for less than one pixel if the decoder shrinks.

        Args:
            encoded: the image file's bytes.
            window: inside the size that `read_size` returned; all of it is scaled to all of `out`.
            out: uint8 [height, width, 3], C-contiguous, RGB; overwritten.
            is_flipped: True to mirror left and right.

        Raises:
            PictureError: the bytes do not decode, or are damaged.
        """


CreateDecoder: TypeAlias = Callable[[], CropDecoder]
"""Makes a decoder for the thread that calls it."""


class PictureError(ValueError):
    """A picture does not decode. The loader turns this into a DataSetError that names shard and record."""
