"""The order of one rank's batches, and the records of each batch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Protocol

from packer.errors import OptionsError
from packer.loading.loader_input import InputShards
from packer.loading.loader_spec import BatchPlace, LoaderSpec
from packer.loading.record_order import (
    RecordRef,
    TrainingLayout,
    TrainingOrder,
    evaluation_run,
    step_positions,
    stored_records,
)
from packer.loading.stream_plan import StreamedRecord


class BatchPlan(Protocol):
    """A rank's batches. Equal plans give equal answers on every host and thread, except for streams."""

    @property
    def steps(self) -> int:
        """Number of batches in an epoch, the same on all ranks."""

    def places(self, epoch: int, position: int) -> Iterator[BatchPlace]:
        """Yield the places of batches from a position of an epoch on.

        A training split never ends; any other split ends after one pass.
        """

    def after(self, place: BatchPlace) -> tuple[int, int]:
        """Return epoch and position of the batch after `place`."""

    def refs(self, place: BatchPlace) -> Sequence[RecordRef | StreamedRecord]:
        """Return the records of a batch; at the end of an evaluation, fewer than the batch size, or none."""

    def shards_ahead(self, place: BatchPlace, most: int) -> list[int]:
        """Return the shards that the rank reads from this batch on: soonest first, each once, at most `most`."""


class TrainingPlan:
    """A BatchPlan of a training split: all batches are full, and there is no end."""

    def __init__(self, shards: InputShards, spec: LoaderSpec) -> None:
        """Raises OptionsError if the split has too few records for one batch of all ranks."""
        self._rank, self._world = shards.rank, shards.world
        self._batch = spec.batch_size * shards.world
        self._layout = TrainingLayout(
            num_shards=len(shards.files),
            records_per_shard=shards.shard_counts[0],
            num_lanes=shards.num_lanes,
            seed=spec.seed,
            shuffle_records=spec.shuffle_records,
        )
        self._order = TrainingOrder(self._layout)
        self._num_lanes = shards.num_lanes // math.gcd(shards.num_lanes, shards.world)
        self._ahead: list[int] = []
        self._ahead_of: tuple[object, ...] = ()
        if self._batch > self._layout.num_records:
            raise OptionsError(
                f"batch size: expected 1 to {self._layout.num_records // shards.world} "
                f"(records of a rank), got {spec.batch_size}"
            )

    @property
    def steps(self) -> int:
        return self._layout.num_records // self._batch

    def places(self, epoch: int, position: int) -> Iterator[BatchPlace]:
        for number in itertools.count(epoch):
            last = self._layout.num_records - self._batch
            for first in range(position, last + 1, self._batch):
                yield BatchPlace(number, first, first // self._batch)
            position = 0

    def after(self, place: BatchPlace) -> tuple[int, int]:
        position = place.position + self._batch
        return (place.epoch, position) if position + self._batch <= self._layout.num_records else (place.epoch + 1, 0)

    def refs(self, place: BatchPlace) -> list[RecordRef]:
        return self._order.records_at(place.epoch, self._positions(place.position, self._batch))

    def shards_ahead(self, place: BatchPlace, most: int) -> list[int]:
        layout = self._layout
        row = place.position // layout.num_lanes
        lanes = [position % layout.num_lanes for position in self._positions(place.position, self._batch)]
        own = list(dict.fromkeys(lanes[: self._num_lanes]))
        # All shards have equally many records, so all lanes go to their next shard at the same row.
        key = (place.epoch, row // layout.records_per_shard, tuple(sorted(own)), most)
        if key != self._ahead_of:
            self._ahead = self._order.shards_from(place.epoch, row, sorted(own), most)
            self._ahead_of = key
        return self._ahead

    def _positions(self, first: int, num_positions: int) -> range:
        return step_positions(first, batch=num_positions, rank=self._rank, world=self._world)


class EvaluationPlan:
    """A BatchPlan of any other split: each rank reads one run of its records once, in stored order."""

    def __init__(self, shards: InputShards, spec: LoaderSpec) -> None:
        self._counts = shards.shard_counts
        self._run = evaluation_run(sum(self._counts), rank=shards.rank, world=shards.world)
        self._batch_size, self._world = spec.batch_size, shards.world
        self._most_records = -(-shards.most_records // shards.world)

    @property
    def steps(self) -> int:
        return -(-self._most_records // self._batch_size)

    def places(self, epoch: int, position: int) -> Iterator[BatchPlace]:
        batch = self._batch_size * self._world
        for step in range(position // batch, self.steps):
            yield BatchPlace(epoch, step * batch, step)

    def after(self, place: BatchPlace) -> tuple[int, int]:
        if place.step + 1 == self.steps:
            return place.epoch + 1, 0
        return place.epoch, place.position + self._batch_size * self._world

    def refs(self, place: BatchPlace) -> list[RecordRef]:
        start = place.step * self._batch_size
        return stored_records(self._counts, self._run[start : start + self._batch_size])

    def shards_ahead(self, place: BatchPlace, most: int) -> list[int]:
        start = place.step * self._batch_size
        if start >= len(self._run):
            return []
        first, last = stored_records(self._counts, (self._run[start], self._run[-1]))
        return list(range(first.shard, min(last.shard + 1, first.shard + most)))


def create_plan(shards: InputShards, spec: LoaderSpec) -> BatchPlan:
    """Return the plan of a rank's batches. Raises OptionsError if the split cannot fill a training batch."""
    return TrainingPlan(shards, spec) if spec.is_training else EvaluationPlan(shards, spec)
