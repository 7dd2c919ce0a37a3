"""A split that comes through Pipe channels: one per local rank, one FIFO per epoch, shards in whatever order.

A stream has no names and no borders of shards. What the manifest knows still has to fit: training shards are equal in
records, so the borders are known, and between two of them must lie the bytes of a shard that is not yet through.
"""

from __future__ import annotations

import collections
import contextlib
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from packer.channels.channel_names import META_CHANNEL
from packer.channels.jobfiles import JobFiles
from packer.channels.key_lists import keys_of_local_rank
from packer.dataset.manifest import ShardEntry
from packer.errors import DataSetError
from packer.formats.container import Record
from packer.formats.registry import check_streamed, get_format
from packer.reading.fifo import FifoStream
from packer.reading.read_spec import ReadSpec
from packer.specs import FormatName

OTHER_SHARDS = "the channel carries other shards than the manifest lists: make the job's request anew from its data set"


class PipeChannel:
    """A channel's FIFOs in this process, which alone reads them, one after another."""

    def __init__(self, files: JobFiles, channel: str, epochs_begun: int = 0) -> None:
        self._files, self._channel = files, channel
        self._epochs_begun = epochs_begun
        self._stream: FifoStream | None = None

    @contextlib.contextmanager
    def next_epoch(self, *, timeout_s: float) -> Iterator[tuple[str, BinaryIO]]:
        """Yield the path and stream of the next FIFO and close it at the end, read or not.

        Epochs are SageMaker's: they count the reads of the channel, be it for training or evaluation. A FIFO that is
        still open from an earlier one is closed, since the next may come only after that.

        Raises:
            DataSetError: nobody makes the FIFO in time.
        """
        if self._stream is not None:
            self._stream.abandon()
        path = self._files.fifo(self._channel, epoch=self._epochs_begun)
        self._stream = FifoStream(path, timeout_s=timeout_s)
        self._epochs_begun += 1
        with io.BufferedReader(self._stream) as stream:
            yield path, stream


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """What a rank's stream may consist of."""

    shards: tuple[ShardEntry, ...]
    """Those of the channel, on all instances."""
    shards_per_rank: int
    """How many of them one stream carries."""
    training: bool
    """The shards are equal in records."""
    format: FormatName


def iter_epoch(channel: PipeChannel, plan: StreamPlan, spec: ReadSpec) -> Iterator[tuple[str, Record]]:
    """Yield the records of the channel's next epoch with the FIFO's path. Closing the iterator closes the FIFO.

    Raises:
        OptionsError: shards of the container cannot be read from a Pipe.
        DataSetError: nobody feeds the channel, or what comes is not what `plan` says.
        CorruptRecordError: a record's framing or checksum is wrong, or the stream ends in the middle of a record.
    """
    check_streamed(plan.format, uri=META_CHANNEL, reader="Pipe mode")
    with channel.next_epoch(timeout_s=spec.pipe_timeout_s) as (path, stream):
        records = get_format(plan.format).iter_stream(stream, name=path, check=spec.check)
        check = _check_training if plan.training else _check_evaluation
        for record in check(records, plan, path):
            yield path, record


def _check_training(records: Iterator[Record], plan: StreamPlan, name: str) -> Iterator[Record]:
    """Pass on the records of whole shards, and raise DataSetError at the first border that does not fit."""
    per_shard, mark_bytes = plan.shards[0].num_records, get_format(plan.format).mark_bytes
    expected = per_shard * plan.shards_per_rank
    sizes = collections.Counter(shard.num_bytes for shard in plan.shards)
    start = stop = num_records = 0
    for position in range(plan.shards_per_rank):
        for record in itertools.islice(records, per_shard):
            num_records += 1
            stop = record.offset_bytes + record.num_bytes + mark_bytes
            yield record
        if num_records < per_shard * (position + 1):
            raise _count_error(name, f"{expected:,}", f"{num_records:,}")
        if not sizes[stop - start]:
            raise DataSetError(
                f"{name}: records {num_records - per_shard:,} to {num_records - 1:,}: expected the bytes of a shard of "
                f"the manifest that has not yet come, found {stop - start:,} bytes, the size of none; {OTHER_SHARDS}"
            )
        sizes[stop - start] -= 1
        start = stop
    if next(records, None) is not None:
        raise _count_error(name, f"{expected:,}", "more")


def _check_evaluation(records: Iterator[Record], plan: StreamPlan, name: str) -> Iterator[Record]:
    """Pass on all records, and raise DataSetError unless they are as many as that number of shards can have."""
    counts = sorted(shard.num_records for shard in plan.shards)
    least, most = sum(counts[: plan.shards_per_rank]), sum(counts[-plan.shards_per_rank :])
    expected = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    num_records = 0
    for record in records:
        num_records += 1
        if num_records > most:
            raise _count_error(name, expected, "more")
        yield record
    if num_records < least:
        raise _count_error(name, expected, f"{num_records:,}")


def _count_error(name: str, expected: str, found: str) -> DataSetError:
    return DataSetError(
        f"{name}: expected {expected} records of the rank's shards, found {found}; {OTHER_SHARDS}, "
        "or who feeds the channel stopped"
    )


def shards_of_channel(shards: Sequence[ShardEntry], *, local_rank: int, local_size: int) -> tuple[ShardEntry, ...]:
    """Return the shards of a split that its channel for a local rank carries."""
    by_key = {shard.key: shard for shard in shards}
    return tuple(by_key[key] for key in keys_of_local_rank(list(by_key), local_rank=local_rank, local_size=local_size))
