"""The batches that a loader yields, and the lease by which a batch keeps its slot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """The samples of one rank in one step."""

    images: npt.NDArray[np.uint8]
    """uint8 [batch, px, px, 3], RGB. The loader reuses the memory when nothing refers to it any more."""
    labels: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    """int64 [batch]: class ids, or -1 without labels. If labels are vectors of n values: float32 [batch, n]."""
    weights: npt.NDArray[np.float32]
    """float32 [batch]: 1 for a sample; 0 for a black image of label 0 that fills up an evaluation's last batches."""
    epoch: int
    step: int
    """Counted from 0 in the epoch."""
    num_samples: int
    """Number of samples of weight 1; they come first."""
    keys: Sequence[str] = ()
    """Keys of the first `num_samples` samples; empty if they were not requested."""
    columns: Mapping[str, Sequence[Any]]
    """Requested extra columns by name: one value for each of the first `num_samples` samples, None if it has none."""
    fields: Mapping[str, Any]
    """Fields by name. A field of masks is int32 [batch, px, px], one of further images uint8 [batch, px, px, 3]. A
    field of boxes, key points or texts is a list of `Boxes`, `Points`, or texts or tuples of texts: one item for each
    of the first `num_samples` samples."""


class SlotLease:
    """Keeps a slot from being refilled as long as an array, or a view of that array, refers to the slot's memory.

    NumPy makes an array from the lease's `__array_interface__`. That array, and through it each view, refers to the
    lease as its base.
    """

    def __init__(self, images: npt.NDArray[np.uint8], release: Callable[[], None]) -> None:
        self.__array_interface__ = images.__array_interface__
        self._memory, self._release = images, release

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the end of the process, modules may be gone already
            self._release()


def lease_images(images: npt.NDArray[np.uint8], release: Callable[[], None]) -> npt.NDArray[np.uint8]:
    """Return an array over the same memory. `release` is called when nothing refers to that array any more."""
    return np.asarray(SlotLease(images, release))
