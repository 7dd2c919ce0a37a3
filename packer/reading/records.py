"""Samples of a data set, in the order of an epoch, without TensorFlow or MXNet.

    shards of the rank --epoch order----> records -> samples --shuffle buffer--> samples          (training)
    shards of the rank --manifest order-> records -> samples                                      (evaluation)
    Pipe channel       --as streamed----> records -> samples --as above--------> samples

From files and buckets the order depends on (seed, epoch, rank) alone, so any process can start any epoch, and several
processes of a rank can read a part each.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

from packer.errors import OptionsError
from packer.formats.container import Record, Sample
from packer.formats.registry import get_format
from packer.reading.read_spec import ReadSpec
from packer.reading.shard_sequence import iter_records
from packer.reading.source import RecordSource
from packer.specs import is_training_split

__all__ = ["ReadSpec", "iter_samples", "shuffled"]

T = TypeVar("T")


def iter_samples(
    source: RecordSource, split: str, spec: ReadSpec, *, epoch: int = 0, part: range | None = None
) -> Iterator[Sample]:
    """Yield every sample of the rank's share once.

    Args:
        part: the records of the share, counted from 0 in the order of the epoch, to read alone, with a shuffle buffer
            of their own. Only files are opened that hold some of them.

    Raises as `RecordSource.records`, also OptionsError for a part of a stream.
    """
    decode = get_format(source.manifest.format).decode_sample
    # Samples hold bytes of their own; records kept in a buffer would keep all that was read with them.
    samples: Iterator[Sample] = (
        decode(record.payload, name=name, record_index=record.index, offset_bytes=record.offset_bytes)
        for name, record in _records(source, split, spec, epoch, part)
    )
    if is_training_split(split) and spec.shuffle_records > 1:
        seed = f"{spec.seed}\0{epoch}\0{spec.rank}" + (f"\0{part.start}" if part else "")
        samples = shuffled(samples, buffer_size=spec.shuffle_records, seed=seed)
    yield from samples


def _records(
    source: RecordSource, split: str, spec: ReadSpec, epoch: int, part: range | None
) -> Iterator[tuple[str, Record]]:
    if part is None:
        yield from source.records(split, spec, epoch=epoch)
        return
    files = source.files(split, spec, epoch=epoch)
    if files is None:
        raise OptionsError(f"{source.uri}: expected one process to read a rank's stream, which cannot be cut")
    ends = list(itertools.accumulate(file.entry.num_records for file in files))
    first = bisect.bisect_right(ends, part.start)
    last = bisect.bisect_left(ends, part.stop)
    skipped = part.start - (ends[first - 1] if first else 0)
    records = iter_records(files[first : last + 1], check=spec.check)
    yield from itertools.islice(records, skipped, skipped + len(part))


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
