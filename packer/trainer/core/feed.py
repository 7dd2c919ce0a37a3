"""The source of a rank's batches, as an interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from packer.loading.loader_state import HostShares
from packer.trainer.core.progress_state import TrainingProgress

Array: TypeAlias = NDArray[Any]


class Batch(Protocol):
    """The samples that one rank takes in one forward pass. `packer.Loader` yields such batches."""

    @property
    def images(self) -> Array:
        """uint8 [batch, height, width, 3] in RGB."""

    @property
    def labels(self) -> Array:
        """int64 [batch]: class ids."""

    @property
    def weights(self) -> Array:
        """float32 [batch]: 1 for a sample that counts, 0 for one that only fills up an evaluation batch."""


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
        """Training steps of a whole epoch, the same on every rank; 0 if the run only evaluates."""

    @property
    def eval_steps(self) -> int:
        """Evaluation batches, the same on every rank; 0 without an evaluation split."""

    @property
    def decoder_id(self) -> str:
        """Identifies the image decoder and its version; all ranks should have the same one."""

    def training(self, progress: TrainingProgress) -> Iterator[tuple[Batch, ...]]:
        """Yield the rest of an epoch: for each step, the batches whose gradients are averaged.

        Raises:
            DataSetError: a shard cannot be read, or holds more or fewer records than the manifest says.
        """

    def evaluation(self) -> Iterator[Batch]:
        """Yield one pass over the rank's share of the evaluation split. Raises as `training`."""

    def know_shares(self, host_shares: HostShares) -> None:
        """Set which shards of the training split each host has of its own; empty if every host has all shards."""

    def state(self) -> dict[str, Any]:
        """Return the state needed to resume at the next batch; empty if `TrainingProgress` is enough."""

    def resume(self, state: Mapping[str, Any], progress: TrainingProgress) -> bool:
        """Restore a state; return True if it resumes in the middle of the epoch, False if at the epoch's start.

        Raises:
            OptionsError: the state belongs to another data set, split, seed or order.
        """

    def report(self) -> str:
        """Return one line that says whether training batches kept up: the time waited and the bottleneck."""

    def close(self) -> None:
        """Stop making batches."""
