"""Records and samples of a data set, in the order of an epoch, without TensorFlow or MXNet.

    shards of the rank --epoch_order--> records --shuffle buffer--> samples          (training)
    shards of the rank --manifest order-> records ----------------> samples          (evaluation)

The order depends on (seed, epoch, rank) alone, so any process can start any epoch.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from packer.dataset.model import ShardEntry
from packer.errors import DataSetError, OptionsError
from packer.formats.base import Record, Sample
from packer.formats.registry import get_format
from packer.planning.ranks import epoch_order
from packer.reading.dataset import NOT_AS_PACKED, DataSet, missing_shard_error, shard_name, wrong_size_error
from packer.specs import is_training_split
from packer.stores.base import ObjectNotFoundError

T = TypeVar("T")


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

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise OptionsError(f"rank: expected 0 to {self.world - 1}, got {self.rank}")
        if self.shuffle_records < 0:
            raise OptionsError(f"shuffle records: expected at least 0, got {self.shuffle_records}")


def shards_in_order(dataset: DataSet, split: str, spec: ReadSpec, *, epoch: int) -> tuple[ShardEntry, ...]:
    """Return the rank's shards as an epoch reads them: shuffled for training, else in the manifest's order."""
    shards = dataset.shards_for(split, rank=spec.rank, world=spec.world)
    if not is_training_split(split):
        return shards
    return tuple(shards[index] for index in epoch_order(range(len(shards)), seed=spec.seed, epoch=epoch))


def iter_shard(dataset: DataSet, shard: ShardEntry, *, check: bool = True) -> Iterator[Record]:
    """Yield a shard's records in stored order; payloads are views that keep the file mapped.

    Raises:
        DataSetError: the file is missing, unreadable or of another size than the manifest says (before the first
            record), or holds more or fewer records (once that is seen).
        CorruptRecordError: a record's framing, or with `check` its checksum, is wrong.
    """
    name = shard_name(dataset, shard)
    content = _view(dataset, shard, name)
    container = get_format(dataset.manifest.format)
    num_records = 0
    for record in container.iter_buffer(content, name=name, check=check):
        num_records += 1
        if num_records > shard.num_records:
            raise DataSetError(f"{name}: expected {shard.num_records} records, found more; {NOT_AS_PACKED}")
        yield record
    if num_records != shard.num_records:
        raise DataSetError(f"{name}: expected {shard.num_records} records, found {num_records}; {NOT_AS_PACKED}")


def iter_samples(dataset: DataSet, split: str, spec: ReadSpec, *, epoch: int = 0) -> Iterator[Sample]:
    """Yield every sample of the rank's shards once. Raises as `iter_shard` and `DataSet.shards_for`."""
    decode = get_format(dataset.manifest.format).decode_sample
    for name, record in _records(dataset, split, spec, epoch):
        yield decode(record.payload, name=name, record_index=record.index)


def shuffled(items: Iterable[T], *, buffer_size: int, seed: str) -> Iterator[T]:
    """Yield `items` in an order that `seed` determines, holding at most `buffer_size` of them back."""
    generator = random.Random(seed)
    held: list[T] = []
    for item in items:
        if len(held) < buffer_size:
            held.append(item)
            continue
        index = int(generator.random() * buffer_size)
        item, held[index] = held[index], item
        yield item
    generator.shuffle(held)
    yield from held


def _records(dataset: DataSet, split: str, spec: ReadSpec, epoch: int) -> Iterator[tuple[str, Record]]:
    in_order = (
        (shard_name(dataset, shard), record)
        for shard in shards_in_order(dataset, split, spec, epoch=epoch)
        for record in iter_shard(dataset, shard, check=spec.check)
    )
    if not is_training_split(split) or spec.shuffle_records < 2:
        return in_order
    return shuffled(in_order, buffer_size=spec.shuffle_records, seed=f"{spec.seed}\0{epoch}\0{spec.rank}")


def _view(dataset: DataSet, shard: ShardEntry, name: str) -> memoryview:
    try:
        content = dataset.store.view(shard.key)
    except ObjectNotFoundError:
        raise missing_shard_error(dataset, shard) from None
    except OSError as error:
        raise DataSetError(f"{name}: cannot read the shard: {error}") from error
    if len(content) != shard.num_bytes:
        raise wrong_size_error(dataset, shard, found=len(content))
    return content
