"""Where a rank's batches come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from packer.loading.loader_state import HostShares
from packer.trainer.core.progress_state import TrainingProgress

Array: TypeAlias = NDArray[Any]


class Batch(Protocol):
    """What one rank, or one of its accumulated batches, takes at a time. What a loader hands out is one."""

    @property
    def images(self) -> Array:
        """uint8 [batch, height, width, 3] in RGB."""

    @property
    def labels(self) -> Array:
        """int64 [batch]: class ids."""

    @property
    def weights(self) -> Array:
        """float32 [batch]: 0 for what only fills an evaluation batch up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayBatch:
    """A Batch of three arrays."""

    images: Array
    labels: Array
    weights: Array


class Feed(Protocol):
    """Batches of one rank."""

    @property
    def steps(self) -> int:
        """Training steps of a whole epoch, the same on every rank; 0 if only to evaluate."""

    @property
    def eval_steps(self) -> int:
        """Evaluation batches, the same on every rank; 0 without an evaluation split."""

    @property
    def decoder_id(self) -> str:
        """What makes the pixels; all ranks should have the same."""

    def training(self, progress: TrainingProgress) -> Iterator[tuple[Batch, ...]]:
        """Yield what is left of an epoch: for each step the batches whose gradients are averaged.

        Raises:
            DataSetError: a shard cannot be read, or holds more or fewer records than the manifest says.
        """

    def evaluation(self) -> Iterator[Batch]:
        """Yield one pass over the rank's share of the evaluation split. Raises as `training`."""

    def know_shares(self, host_shares: HostShares) -> None:
        """Take the shards of the training split that each host alone has; of hosts that have all, nothing."""

    def state(self) -> dict[str, Any]:
        """Return what has to be kept to go on with the next batch; empty where `TrainingProgress` says it all."""

    def resume(self, state: Mapping[str, Any], progress: TrainingProgress) -> bool:
        """Go on from a state and say whether it is in the middle of the epoch, not at its start.

        Raises:
            OptionsError: the state is of another data set, split, seed or order.
        """

    def report(self) -> str:
        """Return one line on how training batches kept up: what was waited for, and what binds."""

    def close(self) -> None:
        """Make no more batches."""
