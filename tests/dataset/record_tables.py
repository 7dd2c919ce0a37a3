"""Tables of records of nothing but what is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa

from packer.dataset.recordstable import encode_records
from packer.stores.store import Store


def put_tables(store: Store, shards: Sequence[Sequence[int]], *, fills: int = 0) -> list[str]:
    """Write a table for each shard and return their keys; a number stands for an item's content.

    After its own items a shard has `fills` of the first again.
    """
    keys = []
    for index, numbers in enumerate(shards):
        digests = [hashlib.sha256(str(number).encode()).digest() for number in [*numbers, *list(numbers[:1]) * fills]]
        is_fill = [position >= len(numbers) for position in range(len(digests))]
        table = pa.table(
            {
                "key": pa.array(map(str, range(len(digests))), pa.large_string()),
                "source_sha256": pa.array(digests, pa.binary(32)),
                "is_fill": pa.array(is_fill, pa.bool_()),
            }
        )
        keys.append(f"meta/records/train/{index}.parquet")
        store.put(keys[-1], [encode_records(table)])
    return keys
