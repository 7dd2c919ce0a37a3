"""Assigns whole groups to splits in the order of their first items, as splits.py does, by four exchanges.

buckets --items of each group--> by group: size and first rank --> by bucket of the first item: sizes before it
--split--> by group --> buckets that hold items of the group: the split of each item
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from packer.clusterplan.assigning import splits_name
from packer.clusterplan.staging import Staging, decode_rows, encode_rows, select_slices, sum_before
from packer.engines.engine import ExchangingEngine
from packer.planning.plan import encode_groups
from packer.planning.splits import IntArray

_GROUP = pa.large_binary()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupContext:
    """Arguments of the tasks that assign groups."""

    staging: Staging
    column: str
    first_ranks: tuple[int, ...]
    """Rank of each bucket's first item among all items."""
    counts: tuple[int, ...]
    """Number of items of each split."""
    firsts: tuple[int, ...] = field(default=())
    """For each bucket, the items of all groups whose first item is in an earlier bucket; empty until known."""

    @property
    def num_buckets(self) -> int:
        """Number of buckets of items, which is also the number of shares of groups."""
        return len(self.first_ranks)


def assign_groups(engine: ExchangingEngine, context: GroupContext) -> None:
    """Stage the splits of all buckets' items. Raises OptionsError if the column cannot be used."""
    size = context.num_buckets
    list(engine.exchange(send_groups, receive_groups, context, senders=size, receivers=size))
    sizes = dict(engine.exchange(send_firsts, receive_firsts, context, senders=size, receivers=size))
    known = GroupContext(
        staging=context.staging,
        column=context.column,
        first_ranks=context.first_ranks,
        counts=context.counts,
        firsts=sum_before([sizes[bucket] for bucket in range(size)]),
    )
    list(engine.exchange(send_splits, receive_splits, known, senders=size, receivers=size))
    list(engine.exchange(send_answers, receive_answers, known, senders=size, receivers=size))


def send_groups(context: GroupContext, bucket: int) -> Iterator[tuple[int, bytes]]:
    """Send each group of a bucket, with its number of items and first rank, to the share that sums the group."""
    indices, values = _groups(context, bucket)
    found, first, counts = np.unique(indices, return_index=True, return_counts=True)
    table = pa.table(
        {
            "group": pa.array([values[index] for index in found.tolist()], _GROUP),
            "bucket": pa.array(np.full(len(found), bucket)),
            "first": pa.array(first + context.first_ranks[bucket]),
            "count": pa.array(counts),
        }
    )
    yield from _send(table, _homes(table, context.num_buckets))


def receive_groups(context: GroupContext, home: int, blobs: Iterator[bytes]) -> None:
    """Stage the buckets that hold items of each group."""
    if held := list(blobs):
        context.staging.put(f"groups-{home:05d}", decode_rows(held))


def send_firsts(context: GroupContext, home: int) -> Iterator[tuple[int, bytes]]:
    """Send each group, with its total number of items, to the bucket of its first item."""
    table = context.staging.find(f"groups-{home:05d}")
    if table is not None:
        summed = table.group_by("group").aggregate([("first", "min"), ("count", "sum")])
        summed = summed.rename_columns({"first_min": "first", "count_sum": "count"}).select(["group", "first", "count"])
        first = summed.column("first").to_numpy()
        yield from _send(summed, np.searchsorted(context.first_ranks, first, side="right") - 1)


def receive_firsts(context: GroupContext, bucket: int, blobs: Iterator[bytes]) -> tuple[int, int]:
    """Stage a bucket's groups in the order of their first items; return the bucket and the groups' number of items."""
    held = list(blobs)
    if not held:
        return bucket, 0
    table = decode_rows(held).sort_by("first")
    context.staging.put(f"firsts-{bucket:05d}", table)
    return bucket, int(table.column("count").to_numpy().sum())


def send_splits(context: GroupContext, bucket: int) -> Iterator[tuple[int, bytes]]:
    """Send the split of each group whose first item is in a bucket to the share that summed the group."""
    table = context.staging.find(f"firsts-{bucket:05d}")
    if table is not None:
        sizes = table.column("count").to_numpy()
        starts = context.firsts[bucket] + np.cumsum(sizes) - sizes
        split = np.searchsorted(np.cumsum(context.counts), starts, side="right")
        answer = table.select(["group"]).append_column("split", pa.array(split))
        yield from _send(answer, _homes(answer, context.num_buckets))


def receive_splits(context: GroupContext, home: int, blobs: Iterator[bytes]) -> None:
    """Stage the split of each group, with the buckets that hold items of the group."""
    if held := list(blobs):
        splits = _as_dict(decode_rows(held))
        table = context.staging.get(f"groups-{home:05d}").select(["group", "bucket"])
        found = pa.array([splits[group] for group in table.column("group").to_pylist()], pa.int64())
        context.staging.put(f"answers-{home:05d}", table.append_column("split", found))


def send_answers(context: GroupContext, home: int) -> Iterator[tuple[int, bytes]]:
    """Send the split of each group to all buckets that hold items of the group."""
    table = context.staging.find(f"answers-{home:05d}")
    if table is not None:
        yield from _send(table.select(["group", "split"]), table.column("bucket").to_numpy())


def receive_answers(context: GroupContext, bucket: int, blobs: Iterator[bytes]) -> None:
    """Stage the splits of a bucket's items."""
    if held := list(blobs):
        splits = _as_dict(decode_rows(held))
        indices, values = _groups(context, bucket)
        context.staging.put_numbers(splits_name(bucket), np.array([splits[value] for value in values])[indices])


def _groups(context: GroupContext, bucket: int) -> tuple[IntArray, list[bytes]]:
    """Return for each of a bucket's items the index of its group, and the groups as bytes."""
    items = context.staging.bucket(bucket)
    if items is None:
        return np.empty(0, dtype=np.int64), []
    encoded = encode_groups(items, context.column)
    values = [_as_bytes(value) for value in encoded.dictionary.to_pylist()]
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64), values


def _as_bytes(value: object) -> bytes:
    """Return a group's value as bytes; equal values give equal bytes."""
    return repr(value).encode(errors="surrogatepass")


def _homes(table: pa.Table, num: int) -> IntArray:
    groups = table.column("group").to_pylist()
    return np.array([int.from_bytes(hashlib.sha256(group).digest()[:4]) % num for group in groups], dtype=np.int64)


def _send(table: pa.Table, targets: IntArray | Sequence[int]) -> Iterator[tuple[int, bytes]]:
    for target, rows in select_slices(table, np.asarray(targets)):
        yield target, bytes(encode_rows(rows))


def _as_dict(table: pa.Table) -> dict[bytes, int]:
    return dict(zip(table.column("group").to_pylist(), table.column("split").to_pylist(), strict=True))
