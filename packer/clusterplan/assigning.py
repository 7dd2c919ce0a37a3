"""Assigns items to splits, bucket by bucket, with the same result as splits.py gives for all items at once.

Each bucket's splits are staged as numbers and counted by split and class. The sums of these counts over all earlier
buckets give the positions of a bucket's items among all items.
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
    """Arguments of the tasks that count the buckets' classes or collect names of splits."""

    staging: Staging
    split_column: str | None
    by_class: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """The classes and names of splits of one bucket's items."""

    bucket: int
    classes: dict[int, int]
    """Number of items by class id; empty unless `by_class`."""
    split_names: frozenset[str]


def take_census(context: CensusContext, bucket: int, tick: Tick) -> Census:
    """Count the items of a bucket. Raises OptionsError if the column of splits cannot be used."""
    items = context.staging.get(context.staging.bucket_name(bucket))
    names = frozenset[str]()
    if context.split_column is not None:
        names = frozenset(split_values(items, context.split_column).unique().to_pylist())
    classes = count_values(items.column("label").to_numpy()) if context.by_class else {}
    return Census(bucket=bucket, classes=classes, split_names=names)


def count_values(values: IntArray) -> dict[int, int]:
    """Return how often each value occurs."""
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def stage_places(staging: Staging, censuses: Sequence[Census], num_buckets: int) -> tuple[int, ...]:
    """Stage the position, in (class, hash) order, of each bucket's first item of each class; return the classes.

    Raises OptionsError if there are too many classes to hold a number for each class and bucket.
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
    """Arguments of the tasks that assign items to splits."""

    staging: Staging
    request: PlanRequest
    split_names: tuple[str, ...]
    counts: tuple[int, ...]
    """Number of items of each split; empty if a column names the splits."""
    first_ranks: tuple[int, ...]
    """Rank of each bucket's first item among all items in hash order."""
    classes: tuple[int, ...]
    """All class ids, ascending, if items are distributed by class; otherwise empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """How many of one bucket's items went to each split."""

    bucket: int
    counts: dict[tuple[int, int], int]
    """Number of items by split index and class id; the id is -1 without classes."""

    def of_split(self, split: int) -> int:
        """Return how many of the bucket's items went to a split, given by its index."""
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
    """Return the name of the staged file with the splits of a bucket's items."""
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
    """Return the position of each of a bucket's items among all items in (class, hash) order, int64 [n]."""
    firsts = staging.get_numbers(PLACES, bucket * len(classes), (bucket + 1) * len(classes))
    index = np.searchsorted(classes, items.column("label").to_numpy())
    places: IntArray = firsts[index] + running_index(index)
    return places


def running_index(keys: IntArray) -> IntArray:
    """Return for each key how many equal keys come before it."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(is_first)
    result = np.empty(len(keys), dtype=np.int64)
    result[order] = np.arange(len(keys)) - np.repeat(starts, np.diff([*starts.tolist(), len(keys)]))
    return result
