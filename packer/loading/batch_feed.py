"""The interface between the loader and the part that fills its slots: threads, another process, or data hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from packer.loading.loader_spec import BatchPlace
from packer.loading.slot_ring import SlotRing


class MadeBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A filled slot, with the data of its batch that are not in the slot's arrays."""

    slot: int
    place: BatchPlace
    num_samples: int
    """Number of samples; the rest of the slot holds black images of weight 0."""
    keys: Sequence[str] = ()
    columns: Mapping[str, Sequence[Any]] = {}
    fields: Mapping[str, Sequence[Any]] = {}
    """Texts, boxes and key points of samples, in the form that `FieldMaker.make` returns."""
    vectors: Sequence[Sequence[float]] = ()
    """Label vectors of a stream's samples; they are not in the slot."""
    store_s: float = 0.0
    """Seconds, summed over threads, spent on reading the batch's records."""
    decode_s: float = 0.0
    """Seconds, summed over threads, spent on decoding and scaling the batch's images."""
    made_by: str = ""
    """Address of the data host that made the batch; empty if this host made it."""


def with_tuples(made: MadeBatch) -> MadeBatch:
    """Return the batch with tuples in its columns, which MessagePack has turned into lists."""
    if not made.columns:
        return made
    columns = {
        name: [tuple(value) if isinstance(value, list) else value for value in values]
        for name, values in made.columns.items()
    }
    return msgspec.structs.replace(made, columns=columns)


class BatchFeed(Protocol):
    """Yields batches in order, each in a slot that does not change until it is given back."""

    @property
    def ring(self) -> SlotRing:
        """The slots."""

    def has_batch(self) -> bool:
        """Say whether `take` would return at once."""

    def take(self) -> MadeBatch | None:
        """Wait for the next batch and return it; None after the last one.

        Raises:
            PackerError: a record cannot be read or decoded, or the process that makes batches stopped. No batch
                follows an error.
        """

    def give_back(self, slot: int) -> None:
        """Allow a slot to be refilled. Any thread may call it at any moment, as destructors do."""

    def close(self) -> None:
        """Stop making batches and wait a moment for threads to end. May be called again."""
