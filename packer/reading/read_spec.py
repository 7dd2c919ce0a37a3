"""Who reads what in which order: values and pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from packer.errors import OptionsError
from packer.planning.rank_shards import epoch_order
from packer.specs import is_training_split

T = TypeVar("T")

DEFAULT_PIPE_TIMEOUT_S = 240.0
"""Below the 300 s after which Horovod ends a job whose rank does not join in: the rank that waits says why first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSpec:
    """Who reads, and how."""

    rank: int = 0
    world: int = 1
    seed: int = 0
    """Of the order of training splits; the same on every rank."""
    shuffle_records: int = 1024
    """Records held back to mix neighbours in a training split; 0 or 1 keeps each shard's own order."""
    check: bool = True
    """Verify checksums where the container has them."""
    pipe_timeout_s: float = DEFAULT_PIPE_TIMEOUT_S
    """How long a read may wait for a Pipe channel's FIFO, or for its next byte."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise OptionsError(f"rank: expected 0 to {self.world - 1}, got {self.rank}")
        if self.shuffle_records < 0:
            raise OptionsError(f"shuffle records: expected at least 0, got {self.shuffle_records}")
        if not self.pipe_timeout_s > 0:
            raise OptionsError(f"pipe timeout: expected seconds above 0, got {self.pipe_timeout_s:g}")


def in_epoch_order(shards: Sequence[T], split: str, *, seed: int, epoch: int) -> tuple[T, ...]:
    """Return a rank's shards as an epoch reads them: shuffled for training, else as they are."""
    if not is_training_split(split):
        return tuple(shards)
    return tuple(shards[index] for index in epoch_order(range(len(shards)), seed=seed, epoch=epoch))
