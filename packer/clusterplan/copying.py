"""Finds exact copies by one exchange by digest, and leaves out the same copies as `packer.dedupe`.

    buckets --digest of each item's bytes--> by digest: sets of copies, which item stays --> buckets without the others

Each receiver holds only its share of the items' digests; the driver holds none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from packer.clusterplan.assigning import splits_name
from packer.clusterplan.item_buckets import BucketFacts, facts_of
from packer.clusterplan.staging import Staging, decode_rows, encode_rows, select_slices
from packer.dataset.copies import COPIES_SCHEMA, CopiedItem, build_copies, copies_digest, has_several, label_texts
from packer.dataset.planfile import encode_part
from packer.dedupe import copy_sets, kept_of_sets
from packer.engines.engine import ExchangingEngine, Tick
from packer.packing.hashing import hash_rows
from packer.packing.sample import RowNames, item_rows
from packer.planning.plan import extra_names
from packer.planning.splits import IntArray
from packer.specs import OnConflict, StoreOptions

SETS = "copies"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyContext:
    """Arguments of the tasks that compare items."""

    staging: Staging
    source_root: str
    source_store: StoreOptions
    on_conflict: OnConflict
    first_ranks: tuple[int, ...]

    @property
    def num_buckets(self) -> int:
        """Number of buckets of items, which is also the number of shares of digests."""
        return len(self.first_ranks)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFacts:
    """Counts of one share of the digests."""

    num_copies: int
    """Items with the same bytes as another item."""
    num_left_out: int
    num_conflicts: int
    examples: tuple[tuple[int, str], ...]
    """The first conflicts: for each, the rank of its first copy, and a text that names two copies."""


def drop_copies_on(engine: ExchangingEngine, context: CopyContext) -> tuple[list[CopyFacts], list[BucketFacts]]:
    """Stage new buckets without copies; return the counts of copies, and the facts of the new buckets in order.

    If there are conflicts and conflicts must fail the run, the caller must not use the new buckets.
    """
    size = context.num_buckets
    found = list(engine.exchange(send_digests, receive_digests, context, senders=size, receivers=size))
    facts = engine.exchange(send_dropped, receive_dropped, context, senders=size, receivers=size)
    return found, sorted(facts, key=lambda each: each.bucket)


def send_digests(context: CopyContext, bucket: int) -> Iterator[tuple[int, bytes]]:
    """Hash the bytes of a bucket's items and send each digest to its share. Raises as `fetch_ahead`."""
    items = context.staging.bucket(bucket)
    if items is None:
        return
    places = items.drop_columns(list(extra_names(items)))
    rows = item_rows(places.to_pydict(), RowNames(()))
    digests = hash_rows(rows, context.source_root, context.source_store, lambda *_: None)
    known = np.flatnonzero([digest is not None for digest in digests])
    if not len(known):
        return
    table = pa.table(
        {
            "digest": pa.array([digests[row] for row in known], pa.binary(32)),
            "key": items.column("key").take(pa.array(known)),
            "label": label_texts(items.take(pa.array(known))),
            "rank": pa.array(known + context.first_ranks[bucket]),
        }
    )
    for home, found in select_slices(table, _homes(table, context.num_buckets)):
        yield home, bytes(encode_rows(found))


def receive_digests(context: CopyContext, home: int, blobs: Iterator[bytes]) -> CopyFacts:
    """Find the sets of copies in one share, decide which items stay, and stage both."""
    held = list(blobs)
    if not held:
        return CopyFacts(num_copies=0, num_left_out=0, num_conflicts=0, examples=())
    table = decode_rows(held).sort_by("rank")
    sets = copy_sets(np.frombuffer(b"".join(table.column("digest").to_pylist()), np.uint8).reshape(-1, 32))
    rows = [row for copies in sets for row in copies]
    copied = table.take(pa.array(rows, pa.int64()))
    keys = dict(zip(rows, copied.column("key").to_pylist(), strict=True))
    labels = dict(zip(rows, copied.column("label").to_pylist(), strict=True))
    kept = kept_of_sets(sets, keys, labels, context.on_conflict)
    conflicts = [copies for copies in sets if has_several([labels[row] for row in copies])]
    if rows:
        is_kept = pa.array([row in kept for row in rows])
        context.staging.put(f"sets-{home:05d}", copied.append_column("kept", is_kept))
    ranks = table.column("rank").to_pylist()
    examples = [
        (ranks[copies[0]], " and ".join(f"{keys[row]} (label {labels[row]})" for row in copies[:2]))
        for copies in conflicts[:3]
    ]
    return CopyFacts(
        num_copies=len(rows), num_left_out=len(rows) - len(kept), num_conflicts=len(conflicts), examples=tuple(examples)
    )


def send_dropped(context: CopyContext, home: int) -> Iterator[tuple[int, bytes]]:
    """Send each copy to the bucket that holds it."""
    table = context.staging.find(f"sets-{home:05d}")
    if table is not None:
        buckets = np.searchsorted(context.first_ranks, table.column("rank").to_numpy(), side="right") - 1
        for bucket, rows in select_slices(table, buckets):
            yield bucket, bytes(encode_rows(rows))


def receive_dropped(context: CopyContext, bucket: int, blobs: Iterator[bytes]) -> BucketFacts:
    """Stage a bucket without the items that are left out, and the positions of the kept copies in it."""
    held = list(blobs)
    items = context.staging.bucket(bucket)
    if items is None:
        return BucketFacts(bucket=bucket, num_items=0, source_bytes=0, largest=(0, ""), schema=None)
    if held:
        copied = decode_rows(held)
        stays = np.ones(items.num_rows, dtype=bool)
        index = copied.column("rank").to_numpy() - context.first_ranks[bucket]
        is_kept = copied.column("kept").to_numpy()
        stays[index[~is_kept]] = False
        places = np.cumsum(stays) - 1
        kept = copied.filter(copied.column("kept")).append_column("place", pa.array(places[index[is_kept]]))
        context.staging.put(f"kept-{bucket:05d}", kept)
        items = items.filter(pa.array(stays)).combine_chunks()
    # Under another name, since a repeated task must find its input unchanged.
    context.staging.put(distinct(context.staging).bucket_name(bucket), items)
    return facts_of(bucket, items)


def distinct(staging: Staging) -> Staging:
    """Return the staging that reads the buckets without copies."""
    return replace(staging, buckets="distinct")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetsContext:
    """Arguments of the tasks that make the list of copies, after splits have been assigned."""

    staging: Staging
    split_names: tuple[str, ...]
    num_buckets: int


def stage_sets(engine: ExchangingEngine, context: SetsContext) -> str:
    """Stage the list of copies as a file of the plan; return the digest of the list."""
    size = context.num_buckets
    list(engine.exchange(send_kept, receive_kept, context, senders=size, receivers=size))
    (digest,) = engine.run(join_sets, context, [0], lambda *_: None)
    return digest


def send_kept(context: SetsContext, bucket: int) -> Iterator[tuple[int, bytes]]:
    """Send the kept copies of a bucket, with their splits, to the shares that hold their sets."""
    table = context.staging.find(f"kept-{bucket:05d}")
    if table is not None:
        split = context.staging.get_numbers(splits_name(bucket))[table.column("place").to_numpy()]
        names = pa.array([context.split_names[index] for index in split.tolist()], pa.large_string())
        answer = table.select(["digest", "key"]).append_column("split", names)
        for home, rows in select_slices(answer, _homes(answer, context.num_buckets)):
            yield home, bytes(encode_rows(rows))


def receive_kept(context: SetsContext, home: int, blobs: Iterator[bytes]) -> None:
    """Stage the list of copies of one share of the digests."""
    held = list(blobs)
    table = context.staging.find(f"sets-{home:05d}")
    if table is None:
        return
    answers = decode_rows(held) if held else None
    splits = (
        {}
        if answers is None
        else dict(zip(answers.column("key").to_pylist(), answers.column("split").to_pylist(), strict=True))
    )
    items = [
        CopiedItem(source_sha256=row["digest"], key=row["key"], label=row["label"], split=splits.get(row["key"]))
        for row in table.to_pylist()
    ]
    context.staging.put(f"list-{home:05d}", build_copies(items))


def join_sets(context: SetsContext, task: int, tick: Tick) -> str:
    """Stage the list of all copies and return its digest. The list is sorted by digest, as the shares are."""
    found = [context.staging.find(f"list-{home:05d}") for home in range(context.num_buckets)]
    copies = pa.concat_tables([each for each in found if each is not None]).cast(COPIES_SCHEMA).combine_chunks()
    context.staging.put_bytes(SETS, encode_part([copies]))
    return copies_digest(copies)


def _homes(table: pa.Table, num: int) -> IntArray:
    firsts = b"".join(digest[:2] for digest in table.column("digest").to_pylist())
    return np.frombuffer(firsts, ">u2").astype(np.int64) * num >> 16
