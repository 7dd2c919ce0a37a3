"""The files beside shards that others read, as the container of the data set makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from packer.dataset.manifest import ShardEntry
from packer.formats.container import Container, Label, RecordPlaces, ShardIndex
from packer.planning.layout import index_key, side_key, stem_of
from packer.stores.readahead import read_in_order
from packer.stores.store import Store


def side_files(container: Container, records: pa.Table, *, split: str, stem: str) -> dict[str, bytes]:
    """Return the files beside a shard that follow from its table of records, by key."""
    if not container.side_suffixes:
        return {}
    keys: list[str] = records.column("key").to_pylist()
    found = records.column("label").to_pylist() if "label" in records.column_names else [None] * len(keys)
    labels: list[Label] = [tuple(label) if isinstance(label, list) else label for label in found]
    made = container.side_files(keys, labels)
    return {side_key(split, stem, suffix): data for suffix, data in made.items()}


def iter_split_index(
    store: Store, container: Container, split: str, shards: Sequence[ShardEntry]
) -> Iterator[bytes] | None:
    """Return, shard by shard, the index over all shards of a split, made of theirs; None where the container has none.

    Iterating raises CorruptRecordError, UnicodeDecodeError or OSError.
    """
    if container.index_split is None:
        return None

    return container.index_split(read_in_order(store, shards, lambda shard: _load_index(store, split, shard)))


def load_places(store: Store, container: Container, split: str, shard: ShardEntry) -> RecordPlaces:
    """Return where a shard's records lie, as its index says.

    Raises CorruptRecordError or OSError.
    """
    return container.record_places(_load_index(store, split, shard))


def _load_index(store: Store, split: str, shard: ShardEntry) -> ShardIndex:
    key = index_key(split, stem_of(shard.key))
    return ShardIndex(content=store.get(key), num_bytes=shard.num_bytes, name=f"{store.uri}/{key}")
