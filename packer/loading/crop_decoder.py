"""The seam between the loader and what decodes: from an encoded picture to the pixels of one part of it, scaled.

A decoder belongs to one thread, since it keeps its buffers from picture to picture. Which decoder made a batch can be
seen in its pixels (libraries differ, and so do releases of one), so its id is
part of a loader's spec, and all ranks of a run use the same one.
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
    """Decodes parts of pictures on the thread that made it."""

    @property
    def decoder_id(self) -> str:
        """Decoders with equal ids give equal pixels. Short ASCII text, such as ``whole-1``."""

    def read_size(self, encoded: memoryview) -> PictureSize:
        """Return the size that the picture has when it is decoded whole, upright, from its header alone if possible.

        Raises:
            PictureError: the bytes are no picture that this decoder reads.
        """

    def decode_crop(self, encoded: memoryview, window: CropWindow, out: Pixels, is_flipped: bool) -> None:
        """Fill `out` with a window of the picture, scaled to its size with an antialiased triangle filter.

        Pixels outside of the window have no part in it, but for a fraction of one where the decoder shrinks.

        Args:
            encoded: the image file's bytes.
            window: inside the size that `read_size` gave; the whole of it is scaled to the whole of `out`.
            out: uint8 [height, width, 3], C-contiguous, RGB; whatever it held is overwritten.
            is_flipped: mirror left and right.

        Raises:
            PictureError: the bytes do not decode, or are damaged.
        """


CreateDecoder: TypeAlias = Callable[[], CropDecoder]
"""Makes a decoder for the thread that calls it."""


class PictureError(ValueError):
    """A picture that does not decode. The loader raises a DataSetError of it, which names the record and the shard."""
