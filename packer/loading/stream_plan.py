"""The batches of a Pipe channel: records in the stream's order, shuffled in a buffer; epochs start at the beginning."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from packer.errors import DataSetError
from packer.formats.container import Sample
from packer.loading.loader_spec import BatchPlace, LoaderInput, LoaderSpec
from packer.reading.read_spec import ReadSpec
from packer.reading.records import iter_samples
from packer.reading.source import RecordSource, count_steps


class StreamedRecord(NamedTuple):
    """A record that has been read from a stream."""

    shard: int
    """-1 for rank 0, -2 for rank 1, and so on: no shard has a negative index."""
    record: int
    """Number of the record in the rank's epoch, counted from 0."""
    sample: Sample


class StreamPlan:
    """A BatchPlan with state: one thread must request its batches in order."""

    def __init__(self, source: RecordSource, given: LoaderInput, spec: LoaderSpec) -> None:
        """Raises DataSetError if the split is empty, OptionsError if a rank cannot fill a batch."""
        self._source, self._spec = source, spec
        self._read = ReadSpec(
            rank=spec.rank,
            world=spec.world,
            seed=spec.seed,
            shuffle_records=spec.shuffle_records,
            pipe_timeout_s=given.pipe_timeout_s,
        )
        self._steps = count_steps(source, spec.split, world=spec.world, batch_size=spec.batch_size)
        self._samples: Iterator[Sample] = iter(())

    @property
    def steps(self) -> int:
        return self._steps

    def places(self, epoch: int, position: int) -> Iterator[BatchPlace]:
        """Yield batches from the start of an epoch. `position` is ignored: a stream can only be read from its start."""
        for number in itertools.count(epoch) if self._spec.is_training else (epoch,):
            for step in range(self._steps):
                yield BatchPlace(number, step * self._spec.global_batch, step)

    def after(self, place: BatchPlace) -> tuple[int, int]:
        if place.step + 1 == self._steps:
            return place.epoch + 1, 0
        return place.epoch, place.position + self._spec.global_batch

    def refs(self, place: BatchPlace) -> list[StreamedRecord]:
        """Read the records of the next batch.

        Raises:
            DataSetError: nothing writes to the stream, or its records differ from the manifest.
            CorruptRecordError: a record's framing or checksum is wrong.
        """
        spec = self._spec
        if place.step == 0:
            self._read_to_end()
            self._samples = iter_samples(self._source, spec.split, self._read, epoch=place.epoch)
        first = place.step * spec.batch_size
        samples = list(itertools.islice(self._samples, spec.batch_size))
        if not spec.is_training and place.step + 1 == self._steps:
            self._read_to_end()
        elif spec.is_training and len(samples) < spec.batch_size:
            raise DataSetError(f"{self._source.uri}: expected {self._steps} batches in a stream, found {place.step}")
        return [StreamedRecord(-1 - spec.rank, number, sample) for number, sample in enumerate(samples, first)]

    def shards_ahead(self, place: BatchPlace, most: int) -> list[int]:
        return []

    def _read_to_end(self) -> None:
        """Read the records that no batch holds, so that the stream is checked to its end."""
        for _ in self._samples:
            pass
