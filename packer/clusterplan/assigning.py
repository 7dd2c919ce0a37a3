"""Which item goes to which split, bucket by bucket; the same as splits.py says of all items at once.

Each bucket's splits are staged as numbers, and counted by split and class: sums of these counts over the buckets before
one say where its items stand among all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from packer.clusterplan.staging import Staging
from packer.engines.engine import Tick
from packer.errors import OptionsError
from packer.planning.placement import contiguous, interleaved
from packer.planning.plan import PlanRequest, split_values
from packer.planning.splits import IntArray

PLACES = "places"
_MAX_CELLS = 1 << 27


@dataclass(frozen=True, slots=True, kw_only=True)
class CensusContext:
    """For counting the buckets' classes or names of splits."""

    staging: Staging
    split_column: str | None
    by_class: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Which classes and splits the items of one bucket have."""

    bucket: int
    classes: dict[int, int]
    """Items by class id; empty unless asked for."""
    split_names: frozenset[str]


def take_census(context: CensusContext, bucket: int, tick: Tick) -> Census:
    """Count a bucket. Raises OptionsError where the column of splits cannot be used."""
    items = context.staging.get(context.staging.bucket_name(bucket))
    names = frozenset[str]()
    if context.split_column is not None:
        names = frozenset(split_values(items, context.split_column).unique().to_pylist())
    classes = count_values(items.column("label").to_numpy()) if context.by_class else {}
    return Census(bucket=bucket, classes=classes, split_names=names)


def count_values(values: IntArray) -> dict[int, int]:
    """Return how often each value is there."""
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def stage_places(staging: Staging, censuses: Sequence[Census], num_buckets: int) -> tuple[int, ...]:
    """Stage where each bucket's items of each class begin in (class, hash) order; return the classes.

    Raises OptionsError for more classes than could be held for all buckets.
    """
    classes = sorted({label for census in censuses for label in census.classes})
    if len(classes) * num_buckets > _MAX_CELLS:
        raise OptionsError(f"expected fewer classes for so many items, got {len(classes):,}", field="stratify")
    counts = np.zeros((num_buckets, len(classes)), dtype=np.int64)
    for census in censuses:
        counts[census.bucket, np.searchsorted(classes, list(census.classes))] = list(census.classes.values())
    totals = counts.sum(axis=0)
    staging.put_numbers(PLACES, np.cumsum(counts, axis=0) - counts + (np.cumsum(totals) - totals))
    return tuple(classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignContext:
    """What every task of assigning is given."""

    staging: Staging
    request: PlanRequest
    split_names: tuple[str, ...]
    counts: tuple[int, ...]
    """Items that each split is to have, where shares say so."""
    first_ranks: tuple[int, ...]
    """Rank, in hash order of all, of each bucket's first item."""
    classes: tuple[int, ...]
    """All class ids that there are, where items are dealt by class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """To which splits the items of one bucket went."""

    bucket: int
    counts: dict[tuple[int, int], int]
    """Items by split index and class id, which is -1 without classes."""

    def of_split(self, split: int) -> int:
        """Return how many items are of a split."""
        return sum(count for (index, _), count in self.counts.items() if index == split)


def assign_bucket(context: AssignContext, bucket: int, tick: Tick) -> Assigned:
    """Stage the splits of a bucket's items, and count them."""
    items = context.staging.get(context.staging.bucket_name(bucket))
    split = _splits(context, bucket, items)
    if context.request.group_column is None or context.request.split_column is not None:
        context.staging.put_numbers(splits_name(bucket), split)
    has_classes = context.request.label_kind == "class"
    labels = items.column("label").to_numpy() if has_classes else np.full(len(split), -1)
    pairs, counts = np.unique(np.stack([split, labels], axis=1), axis=0, return_counts=True)
    keys = [(pair[0], pair[1]) for pair in pairs.tolist()]
    return Assigned(bucket=bucket, counts=dict(zip(keys, counts.tolist(), strict=True)))


def splits_name(bucket: int) -> str:
    """Return the name of the file of a bucket's splits."""
    return f"splits-{bucket:05d}"


def _splits(context: AssignContext, bucket: int, items: pa.Table) -> IntArray:
    request, staging = context.request, context.staging
    if request.split_column is not None:
        values = split_values(items, request.split_column)
        indices = {name: index for index, name in enumerate(context.split_names)}
        return np.array([indices[value] for value in values.to_pylist()], dtype=np.int64)
    if request.group_column is not None:
        return staging.get_numbers(splits_name(bucket))
    if context.classes:
        places = class_places(staging, bucket, items, context.classes)
        return interleaved(places, context.counts)[0]
    first = context.first_ranks[bucket]
    return contiguous(np.arange(first, first + items.num_rows, dtype=np.int64), context.counts)


def class_places(staging: Staging, bucket: int, items: pa.Table, classes: Sequence[int]) -> IntArray:
    """Return the place of each item of a bucket in (class, hash) order."""
    firsts = staging.get_numbers(PLACES, bucket * len(classes), (bucket + 1) * len(classes))
    index = np.searchsorted(classes, items.column("label").to_numpy())
    places: IntArray = firsts[index] + running_index(index)
    return places


def running_index(keys: IntArray) -> IntArray:
    """Return how many of the same key stand before each."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(is_first)
    result = np.empty(len(keys), dtype=np.int64)
    result[order] = np.arange(len(keys)) - np.repeat(starts, np.diff([*starts.tolist(), len(keys)]))
    return result
