"""Assigns items to shards and writes the plan's files: the last exchange, by file.

(split, rank in the split) -> shard -> file of 16 shards -> sorted items, as `packer.dataset.planfile` writes them
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from packer.clusterplan.assigning import Assigned, running_index, splits_name
from packer.clusterplan.staging import Staging, decode_rows, encode_rows, select_slices
from packer.dataset.planfile import SHARDS_PER_PART, decode_part, encode_part
from packer.engines.engine import Tick
from packer.errors import PackerError
from packer.planning.balance import KnownSizes, choose_shards_for_sizes
from packer.planning.digest import TableDigest
from packer.planning.plan import PlannedSplit, without_tags
from packer.planning.splits import IntArray
from packer.specs import ShardSpec, is_training_split
from packer.stores.open_store import open_store
from packer.stores.store import Claim

_RANK = "_rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutContext:
    """Arguments of the tasks that cut splits of known record sizes. A task holds 8 bytes for each item of its split."""

    staging: Staging
    num_buckets: int
    split_names: tuple[str, ...]
    added_bytes: int
    """Bytes that framing adds to an item's own size."""
    sharding: ShardSpec


def cut_split(context: CutContext, split: int, tick: Tick) -> tuple[int, int]:
    """Stage the shard of each of a split's items, in hash order; return the split and its number of shards.

    Raises OptionsError if no number of shards is possible.
    """
    sizes, labels = [], []
    for bucket in range(context.num_buckets):
        items = context.staging.bucket(bucket)
        if items is None:
            continue
        own = np.flatnonzero(context.staging.get_numbers(splits_name(bucket)) == split)
        sizes.append(items.column("num_bytes").to_numpy()[own])
        if context.sharding.stratify:
            labels.append(items.column("label").to_numpy()[own])
    num_shards, dealt = choose_shards_for_sizes(
        context.split_names[split],
        KnownSizes(np.concatenate(sizes) + context.added_bytes),
        context.sharding,
        is_training=is_training_split(context.split_names[split]),
        classes=np.concatenate(labels) if labels else None,
    )
    context.staging.put_numbers(_dealt_name(split), dealt)
    return split, num_shards


def _dealt_name(split: int) -> str:
    return f"dealt-{split:03d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceContext:
    """Arguments of the tasks that place items in shards."""

    staging: Staging
    schema: pa.Schema
    splits: tuple[PlannedSplit, ...]
    stratify: bool
    first_ranks: dict[int, list[int]]
    """For each bucket and split: rank of the bucket's first item of the split among the split's items in hash order."""
    bucket_ranks: tuple[int, ...]
    """Rank of each bucket's first item among all items in hash order."""
    classes: tuple[int, ...]
    is_cut: bool
    """`cut_split` has staged the shards."""
    arrow_version: str
    """Version of the driver's pyarrow, on which the bytes of Parquet files depend."""

    def first_part(self, split: int) -> int:
        """Return the number of a split's first file among the files of all splits."""
        return sum(num_parts(each) for each in self.splits[:split])

    def locate(self, part: int) -> tuple[int, int]:
        """Return the index of a file's split, and the file's number within the split."""
        for index, split in enumerate(self.splits):
            if part < num_parts(split):
                return index, part
            part -= num_parts(split)
        raise IndexError(part)


def num_parts(split: PlannedSplit) -> int:
    """Return how many of the plan's files a split has."""
    return -(-split.num_shards // SHARDS_PER_PART)


def split_places_name(split: int) -> str:
    """Return the name of the staged file that `stage_split_places` writes."""
    return f"split-places-{split:03d}"


def stage_split_places(
    staging: Staging, assigned: Sequence[Assigned], split: int, classes: Sequence[int], num_buckets: int
) -> None:
    """Stage the position, in one split's (class, hash) order, of each bucket's first item of each class."""
    counts = np.zeros((num_buckets, len(classes)), dtype=np.int64)
    for each in assigned:
        own = {label: count for (index, label), count in each.counts.items() if index == split}
        counts[each.bucket, np.searchsorted(classes, list(own))] = list(own.values())
    totals = counts.sum(axis=0)
    staging.put_numbers(split_places_name(split), np.cumsum(counts, axis=0) - counts + (np.cumsum(totals) - totals))


def send_to_parts(context: PlaceContext, bucket: int) -> Iterator[tuple[int, bytes]]:
    """Send a bucket's items to the files of the plan that they belong to."""
    items = context.staging.bucket(bucket)
    if items is None:
        return
    split = context.staging.get_numbers(splits_name(bucket))
    shard, part = np.zeros(len(split), dtype=np.int64), np.zeros(len(split), dtype=np.int64)
    for index, planned in enumerate(context.splits):
        own = np.flatnonzero(split == index)
        if len(own):
            shard[own] = _shards(context, bucket, index, items.take(pa.array(own)))
            part[own] = context.first_part(index) + shard[own] // SHARDS_PER_PART
            assert shard[own].max() < planned.num_shards
    rank = context.bucket_ranks[bucket] + np.arange(len(split))
    placed = items.append_column("shard", pa.array(shard.astype(np.int32))).append_column(_RANK, pa.array(rank))
    for number, rows in select_slices(placed, part):
        yield number, bytes(encode_rows(rows))


def _shards(context: PlaceContext, bucket: int, split: int, items: pa.Table) -> IntArray:
    """Return the shard of each of a bucket's items of one split, int64 [n]."""
    first = context.first_ranks[bucket][split]
    if context.is_cut:
        return context.staging.get_numbers(_dealt_name(split), first, first + items.num_rows)
    if context.stratify:
        width = len(context.classes)
        firsts = context.staging.get_numbers(split_places_name(split), bucket * width, (bucket + 1) * width)
        index = np.searchsorted(context.classes, items.column("label").to_numpy())
        places: IntArray = firsts[index] + running_index(index)
    else:
        places = np.arange(first, first + items.num_rows, dtype=np.int64)
    dealt: IntArray = places % context.splits[split].num_shards
    return dealt


def receive_part(context: PlaceContext, part: int, blobs: Iterator[bytes]) -> int:
    """Stage a file of the plan and return its number of items. Raises PackerError for another version of pyarrow."""
    if pa.__version__ != context.arrow_version:
        raise PackerError(
            f"this worker's pyarrow writes other bytes than the driver's may: expected {context.arrow_version}, found "
            f"{pa.__version__}; install the same version everywhere"
        )
    index, number = context.locate(part)
    held = list(blobs)
    items = decode_rows(held) if held else context.schema.append(pa.field(_RANK, pa.int64())).empty_table()
    items = items.sort_by([("shard", "ascending"), (_RANK, "ascending")]).drop_columns([_RANK])
    items = items.cast(context.schema).combine_chunks()
    first = number * SHARDS_PER_PART
    last = min(first + SHARDS_PER_PART, context.splits[index].num_shards)
    bounds = items.column("shard").to_numpy().searchsorted(range(first, last + 1)).tolist()
    spans = itertools.pairwise(bounds)
    context.staging.put_bytes(part_name(part), encode_part([items.slice(a, b - a) for a, b in spans]))
    return int(items.num_rows)


def part_name(part: int) -> str:
    """Return the name of a staged file of the plan."""
    return f"part-{part:06d}"


def digest_split(context: PlaceContext, split: int, tick: Tick) -> tuple[int, str]:
    """Return the split and the digest of its items in order; read the split file by file."""
    digest = TableDigest(without_tags(context.schema.empty_table()).schema)
    first = context.first_part(split)
    store = context.staging.open()
    for part in range(first, first + num_parts(context.splits[split])):
        digest.update(without_tags(decode_part(store.view(context.staging.prefix + part_name(part)))))
    return split, digest.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartContext:
    """Arguments of the tasks that copy the plan's files to the destination."""

    staging: Staging
    keys: tuple[str, ...]
    claim: Claim


def copy_part(context: PartContext, part: int, tick: Tick) -> None:
    """Copy a staged file of the plan to its final key."""
    store = open_store(context.staging.uri, context.staging.store).claimed(context.claim)
    store.put(context.keys[part], [context.staging.get_bytes(part_name(part))])
