"""The batches of one rank, in order: which there are, and which records each of them holds."""

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
    """Pure, but of a stream: equal plans give equal answers, on whatever host or thread."""

    @property
    def steps(self) -> int:
        """Batches of a whole epoch, equal on all ranks."""

    def places(self, epoch: int, position: int) -> Iterator[BatchPlace]:
        """Yield the batches from a position of an epoch on: for ever of a training split, one pass of any other."""

    def after(self, place: BatchPlace) -> tuple[int, int]:
        """Return epoch and position of the batch after one."""

    def refs(self, place: BatchPlace) -> Sequence[RecordRef | StreamedRecord]:
        """Return the records of a batch; at the end of an evaluation fewer than its size, or none."""

    def shards_ahead(self, place: BatchPlace, num_batches: int) -> list[int]:
        """Return the shards that the rank reads in so many batches from this one on, soonest first, each once."""


class TrainingPlan:
    """A BatchPlan of a training split, whose batches are whole and never end."""

    def __init__(self, shards: InputShards, spec: LoaderSpec) -> None:
        """Raises OptionsError where the ranks cannot fill one batch."""
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

    def shards_ahead(self, place: BatchPlace, num_batches: int) -> list[int]:
        first, batch = place.position, self._batch
        # One row of each lane in every batch is enough to see each shard.
        starts = (self._positions(first + number * batch, batch)[: self._num_lanes] for number in range(num_batches))
        return list(dict.fromkeys(self._order.shards_at(place.epoch, itertools.chain(*starts))))

    def _positions(self, first: int, num_positions: int) -> range:
        return step_positions(first, batch=num_positions, rank=self._rank, world=self._world)


class EvaluationPlan:
    """A BatchPlan of any other split: a run of its records in stored order, once."""

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

    def shards_ahead(self, place: BatchPlace, num_batches: int) -> list[int]:
        start = place.step * self._batch_size
        refs = stored_records(self._counts, self._run[start : start + num_batches * self._batch_size])
        return list(dict.fromkeys(ref.shard for ref in refs))


def create_plan(shards: InputShards, spec: LoaderSpec) -> BatchPlan:
    """Return the plan of a rank's batches. Raises OptionsError where a training batch cannot be filled."""
    return TrainingPlan(shards, spec) if spec.is_training else EvaluationPlan(shards, spec)
