"""What comes out of a loader, and the lease of a slot that a batch holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Samples of one rank and step."""

    images: npt.NDArray[np.uint8]
    """[batch, px, px, 3], RGB. Their memory is used again when nothing refers to it any more."""
    labels: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    """int64 [batch]: class ids, or -1 where there are no labels; or float32 [batch, n] where they are vectors."""
    weights: npt.NDArray[np.float32]
    """[batch]: 1, or 0 for what fills up the last batches of an evaluation: black images of label 0."""
    epoch: int
    step: int
    """Counted from 0 in the epoch."""
    num_samples: int
    """Those of weight 1, which come first."""
    keys: Sequence[str] = ()
    """Of the first `num_samples`, where they were asked for."""
    columns: Mapping[str, Sequence[Any]]
    """Extra columns that were asked for, with a value for each of the first `num_samples`; None where it has none."""
    fields: Mapping[str, Any]
    """Fields by name: of masks int32 [batch, px, px], of further images uint8 [batch, px, px, 3]; of boxes, key points
    and texts a list with one `Boxes`, `Points`, text or tuple of texts for each of the first `num_samples`."""


class SlotLease:
    """Keeps a slot from being filled anew for as long as an array, or a view of it, refers to its memory.

    NumPy asks it for an array; that array, and with it each of its views, holds the lease as its base.
    """

    def __init__(self, images: npt.NDArray[np.uint8], release: Callable[[], None]) -> None:
        self.__array_interface__ = images.__array_interface__
        self._memory, self._release = images, release

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the end of a process anything may be gone
            self._release()


def lease_images(images: npt.NDArray[np.uint8], release: Callable[[], None]) -> npt.NDArray[np.uint8]:
    """Return an array over the same memory; `release` is called once nothing refers to it any more."""
    return np.asarray(SlotLease(images, release))
