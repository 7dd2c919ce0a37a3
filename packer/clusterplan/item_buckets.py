"""Items in hash order, cut into buckets by the first bits of the hash. Buckets ascend, and each bucket is sorted.

    staged rows --(first 16 bits of the hash)--> buckets --each sorted--> staged

Buckets depend only on the hash, not on a sample of items. So a step that runs twice finds the same buckets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from packer.clusterplan.row_items import ItemMaker
from packer.clusterplan.staging import Staging, decode_rows, encode_rows, select_slices
from packer.dataset.itemcheck import check_items
from packer.engines.engine import Engine, Tick
from packer.errors import SourceError
from packer.planning.order import hash_digests
from packer.planning.plan import order_items
from packer.planning.splits import IntArray
from packer.specs import FormatName

ITEMS_PER_BUCKET = 32_768
_MAX_BUCKETS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContext:
    """Arguments of the tasks that order items."""

    staging: Staging
    parts: tuple[str, ...]
    """Names of the staged tables of rows, one for each sender."""
    maker: ItemMaker
    seed: int
    format: FormatName
    num_buckets: int
    limit: int | None
    """So many items at most are of use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketFacts:
    """Facts about a bucket that the driver keeps."""

    bucket: int
    num_items: int
    source_bytes: int
    largest: tuple[int, str]
    """Bytes and key of the largest item, the first one if there are several."""
    schema: pa.Schema | None
    """Schema of the items; None for an empty bucket."""


def num_buckets(num_items: int) -> int:
    """Return the number of buckets for a number of items."""
    return min(_MAX_BUCKETS, max(1, -(-num_items // ITEMS_PER_BUCKET)))


def bucket_of(digests: np.ndarray, num: int) -> IntArray:
    """Return the bucket of each digest as int64 [n]. `digests` is uint8 [n, 32]; buckets ascend with the digests."""
    first = digests[:, 0].astype(np.int64) * 256 + digests[:, 1]
    buckets: IntArray = first * num // _MAX_BUCKETS
    return buckets


def send_to_buckets(context: OrderContext, sender: int) -> Iterator[tuple[int, bytes]]:
    """Make items from one table of rows and send them to their buckets. Raises SourceError for invalid rows."""
    items = context.maker.make(context.staging.get(context.parts[sender]))
    buckets = bucket_of(hash_digests(items.column("key"), seed=context.seed), context.num_buckets)
    for bucket, rows in select_slices(items, buckets):
        yield bucket, bytes(encode_rows(rows))


def receive_bucket(context: OrderContext, bucket: int, blobs: Iterator[bytes]) -> BucketFacts:
    """Sort a bucket and stage it. Raises SourceError for a repeated key, OptionsError for an item that does not fit."""
    held = list(blobs)
    if not held:
        return BucketFacts(bucket=bucket, num_items=0, source_bytes=0, largest=(0, ""), schema=None)
    items = order_items(decode_rows(held), seed=context.seed).combine_chunks()
    _refuse_repeats(items, context.maker.name)
    if context.limit is None:
        check_items(items, context.format)
    else:  # those of the first buckets are checked once it is known which they are
        items = items.slice(0, context.limit).combine_chunks()
    context.staging.put(context.staging.bucket_name(bucket), items)
    return facts_of(bucket, items)


def limit_buckets(engine: Engine, context: OrderContext, facts: Sequence[BucketFacts]) -> list[BucketFacts]:
    """Return the buckets up to the one with the last item within the limit, which is cut there.

    Raises OptionsError for items that do not fit the container.
    """
    assert context.limit is not None
    left, kept = context.limit, []
    for bucket in facts:
        if left <= 0:
            break
        kept.append((bucket, min(left, bucket.num_items)))
        left -= bucket.num_items
    filled = [bucket.bucket for bucket, num_items in kept if num_items]
    cut = CutBuckets(order=context, num_items=tuple(num_items for _, num_items in kept))
    found = {bucket.bucket: bucket for bucket in engine.run(cut_bucket, cut, filled, lambda *_: None)}
    return [found.get(bucket.bucket, bucket) for bucket, _ in kept]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutBuckets:
    """For the first buckets in hash order, from the first of all."""

    order: OrderContext
    num_items: tuple[int, ...]
    """That stay, by bucket."""


def cut_bucket(context: CutBuckets, bucket: int, tick: Tick) -> BucketFacts:
    """Check and stage what stays of a bucket; done again, it does the same."""
    order = context.order
    name = order.staging.bucket_name(bucket)
    items = order.staging.get(name).slice(0, context.num_items[bucket]).combine_chunks()
    check_items(items, order.format)
    order.staging.put(name, items)
    return facts_of(bucket, items)


def facts_of(bucket: int, items: pa.Table) -> BucketFacts:
    """Return the facts of a bucket's items."""
    sizes = items.column("num_bytes").to_numpy()
    largest = int(np.argmax(sizes)) if len(sizes) else None
    return BucketFacts(
        bucket=bucket,
        num_items=items.num_rows,
        source_bytes=int(sizes.sum()),
        largest=(0, "") if largest is None else (int(sizes[largest]), items.column("key")[largest].as_py()),
        schema=items.schema,
    )


def _refuse_repeats(items: pa.Table, name: str) -> None:
    keys = items.column("key").combine_chunks()
    same = pc.equal(keys.slice(1), keys.slice(0, len(keys) - 1))
    if pc.any(same).as_py():
        key = keys[pc.indices_nonzero(same)[0].as_py()].as_py()
        raise SourceError(f"{name}: expected each path once, got {key!r} more than once; keep one row of each")
