"""The seam between the loader and what fills its slots: threads of this process, a process of its own, a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from packer.loading.loader_spec import BatchPlace
from packer.loading.slot_ring import SlotRing


class MadeBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A filled slot, and what is told of it beside its arrays."""

    slot: int
    place: BatchPlace
    num_samples: int
    """The rest of the slot is black images of weight 0."""
    keys: Sequence[str] = ()
    columns: Mapping[str, Sequence[Any]] = {}
    fields: Mapping[str, Sequence[Any]] = {}
    """Texts, boxes and key points of samples, as `FieldMaker.make` gives them."""
    vectors: Sequence[Sequence[float]] = ()
    """Labels of a stream that are vectors: they do not lie in the slot."""
    store_s: float = 0.0
    """Seconds of all threads spent on reading its records."""
    decode_s: float = 0.0
    """Seconds of all threads spent on decoding and scaling its images."""
    made_by: str = ""
    """The data host that made it; empty for this one."""


def with_tuples(made: MadeBatch) -> MadeBatch:
    """Return a batch whose columns have tuples where MessagePack made lists of them."""
    if not made.columns:
        return made
    columns = {
        name: [tuple(value) if isinstance(value, list) else value for value in values]
        for name, values in made.columns.items()
    }
    return msgspec.structs.replace(made, columns=columns)


class BatchFeed(Protocol):
    """Batches in their order, each in a slot that stays as it is until it is given back."""

    @property
    def ring(self) -> SlotRing:
        """The slots."""

    def has_batch(self) -> bool:
        """Say whether `take` would return at once."""

    def take(self) -> MadeBatch | None:
        """Return the next batch, waiting for it; None after the last one.

        Raises:
            PackerError: a record cannot be read or decoded, or what fills the slots stopped. Nothing follows it.
        """

    def give_back(self, slot: int) -> None:
        """Let a slot be filled anew. Called by any thread, and in the middle of anything, as destructors are."""

    def close(self) -> None:
        """Stop making batches, and wait a moment for what is under way. May be called again."""
