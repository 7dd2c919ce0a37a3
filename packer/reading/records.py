"""Samples of a data set, in the order of an epoch, without TensorFlow or MXNet.

    shards of the rank --epoch order----> records -> samples --shuffle buffer--> samples          (training)
    shards of the rank --manifest order-> records -> samples                                      (evaluation)
    Pipe channel       --as streamed----> records -> samples --as above--------> samples

From files and buckets the order depends on (seed, epoch, rank) alone, so any process can start any epoch.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

from packer.formats.base import Sample
from packer.formats.registry import get_format
from packer.reading.source import RecordSource
from packer.reading.spec import ReadSpec
from packer.specs import is_training_split

__all__ = ["ReadSpec", "iter_samples", "shuffled"]

T = TypeVar("T")


def iter_samples(source: RecordSource, split: str, spec: ReadSpec, *, epoch: int = 0) -> Iterator[Sample]:
    """Yield every sample of the rank's share once. Raises as `RecordSource.records`."""
    decode = get_format(source.manifest.format).decode_sample
    # Samples hold bytes of their own; records kept in a buffer would keep all that was read with them.
    samples: Iterator[Sample] = (
        decode(record.payload, name=name, record_index=record.index, offset_bytes=record.offset_bytes)
        for name, record in source.records(split, spec, epoch=epoch)
    )
    if is_training_split(split) and spec.shuffle_records > 1:
        samples = shuffled(samples, buffer_size=spec.shuffle_records, seed=f"{spec.seed}\0{epoch}\0{spec.rank}")
    yield from samples


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
