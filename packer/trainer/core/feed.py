"""Where a rank's batches come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from packer.trainer.core.progress_state import TrainingProgress

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one rank, or one of its accumulated batches, takes at a time."""

    images: Array
    """uint8 [batch, height, width, 3] in RGB."""
    labels: Array
    """int64 [batch]: class ids."""
    weights: Array
    """float32 [batch]: 0 for what only fills an evaluation batch up."""


class Feed(Protocol):
    """Batches of one rank."""

    def training(self, progress: TrainingProgress) -> Iterator[tuple[Batch, ...]]:
        """Yield what is left of an epoch: for each step the batches whose gradients are averaged.

        Raises:
            DataSetError: a shard cannot be read, or holds more or fewer records than the manifest says.
        """

    def evaluation(self) -> Iterator[Batch]:
        """Yield one pass over the rank's share of the evaluation split. Raises as `training`."""

    def state(self) -> dict[str, Any]:
        """Return what has to be kept to go on with the next batch; empty where `TrainingProgress` says it all."""
