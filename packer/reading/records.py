"""Samples of a data set, in the order of an epoch, without TensorFlow or MXNet.

    shards of the rank --epoch order----> records --shuffle buffer--> samples          (training)
    shards of the rank --manifest order-> records ------------------> samples          (evaluation)
    Pipe channel       --as streamed----> records --as above--------> samples

From files and buckets the order depends on (seed, epoch, rank) alone, so any process can start any epoch.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

from packer.formats.base import Record, Sample
from packer.formats.registry import get_format
from packer.reading.source import RecordSource
from packer.reading.spec import ReadSpec
from packer.specs import is_training_split

__all__ = ["ReadSpec", "iter_samples", "shuffled"]

T = TypeVar("T")


def iter_samples(source: RecordSource, split: str, spec: ReadSpec, *, epoch: int = 0) -> Iterator[Sample]:
    """Yield every sample of the rank's share once. Raises as `RecordSource.records`."""
    decode = get_format(source.manifest.format).decode_sample
    for name, record in _shuffled_records(source, split, spec, epoch):
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


def _shuffled_records(source: RecordSource, split: str, spec: ReadSpec, epoch: int) -> Iterator[tuple[str, Record]]:
    in_order = source.records(split, spec, epoch=epoch)
    if not is_training_split(split) or spec.shuffle_records < 2:
        return in_order
    return shuffled(in_order, buffer_size=spec.shuffle_records, seed=f"{spec.seed}\0{epoch}\0{spec.rank}")
