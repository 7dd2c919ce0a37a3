"""What a reader needs of a data set, wherever its shards come from: a folder, a bucket, or channels of a job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from packer.dataset.manifest import Manifest
from packer.errors import DataSetError, OptionsError
from packer.formats.container import Record
from packer.planning.rank_shards import evaluation_steps, shards_of_rank, training_steps
from packer.reading.read_spec import ReadSpec
from packer.reading.shard_file import ShardFile
from packer.specs import is_training_split


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one rank can tell of how a split reaches it, to be compared with the other ranks'."""

    split: str
    delivery: str
    """Such as ``Pipe``; the same on every rank of a job."""
    num_shards: int
    """Of the split."""
    host: str = ""
    """This host's name in a job; empty where there is none."""
    is_stream: bool = False
    """It comes through a Pipe, which is read from its start alone."""
    own_shards: tuple[int, ...] = ()
    """Indices in the manifest of the shards that this host has and no other may have, ascending.

    Empty where every host reaches all shards, or where a rank cannot know.
    """


class RecordSource(Protocol):
    """A data set and a way to its records. Belongs to one process."""

    @property
    def uri(self) -> str:
        """Path or URI, for messages."""

    @property
    def manifest(self) -> Manifest:
        """The manifest of the whole data set."""

    def check(self, split: str, *, rank: int, world: int) -> Share:
        """Check, before the first step, what can be known of the rank's share of a split without reading it.

        Raises:
            DataSetError: the split or a shard is missing, a shard is of another size, or there are others.
            OptionsError: `rank` is outside [0, world), or the shards do not divide by the world.
        """

    def records(self, split: str, spec: ReadSpec, *, epoch: int) -> Iterator[tuple[str, Record]]:
        """Yield the rank's records once, each with its file's name, in the order of the epoch, not yet shuffled.

        Raises:
            DataSetError: as `check`, or there are more or fewer records than the manifest says.
            CorruptRecordError: a record's framing, or with `spec.check` its checksum, is wrong.
        """

    def files(self, split: str, spec: ReadSpec, *, epoch: int) -> tuple[ShardFile, ...] | None:
        """Return the shards that `records` would read, in its order; None where it reads a stream.

        Raises as `check`.
        """


def count_steps(source: RecordSource, split: str, *, world: int, batch_size: int) -> int:
    """Return the batches that every rank runs in one pass over a split, from the manifest alone.

    A training pass leaves out a last short batch; an evaluation pass has room for every record of any rank.

    Raises:
        DataSetError: there is no such split, or it has no records.
        OptionsError: the shards do not divide by `world`, or a rank cannot fill one training batch.
    """
    entry = source.manifest.split(split)
    if entry.num_records == 0:
        raise DataSetError(f"{source.uri}: expected records in split {split!r}, found none")
    if batch_size < 1:
        raise OptionsError(f"batch size: expected at least 1, got {batch_size}")
    own = shards_of_rank(len(entry.shards), rank=0, world=world)
    counts = [shard.num_records for shard in entry.shards]
    if is_training_split(split):
        return training_steps(sum(counts[index] for index in own), batch_size=batch_size)
    return evaluation_steps(counts, world=world, batch_size=batch_size)
