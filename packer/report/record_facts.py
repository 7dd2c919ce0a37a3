"""Facts from a data set's tables of records: sizes, copies, labels that disagree. Large data sets are sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.copies import CopiedItem, build_copies, label_texts, load_copies
from packer.dataset.manifest import Manifest, ShardEntry
from packer.dataset.recordstable import decode_records
from packer.planning.layout import records_key, stem_of
from packer.stores.readahead import read_in_order
from packer.stores.store import Store

MAX_RECORDS = 200_000
"""Of larger data sets only some shards are read, with about this many records in all."""
_MAX_LISTED = 20


class ShardRef(msgspec.Struct, frozen=True, kw_only=True):
    """One shard of a split."""

    split: str
    entry: ShardEntry


class CopiedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Items whose source files have the same bytes."""

    keys: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str, ...]
    """Each label once, as text; empty without labels."""


class RecordFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts from the tables that were read."""

    table: pa.Table
    """Columns ``split shard position key label_text source_num_bytes num_bytes is_fill``, and of boxes and points."""
    num_records: int
    """Records in all tables of the data set, read or not."""
    num_crossing: int
    """Groups of exact copies that are in more than one split."""
    num_conflicts: int
    """Groups of exact copies whose labels differ."""
    crossing: tuple[CopiedGroup, ...]
    """The first groups that are in more than one split."""
    conflicts: tuple[CopiedGroup, ...]
    """The first groups whose labels differ."""
    has_all_copies: bool
    """True: copies were found in the whole data set. False: only in the tables that were read."""

    @property
    def is_sampled(self) -> bool:
        """Only some of the tables were read."""
        return int(self.table.num_rows) < self.num_records


def read_record_facts(store: Store, manifest: Manifest) -> RecordFacts:
    """Read the tables of a data set, or of some of its shards. Raises DataSetError or OSError."""
    shards = [ShardRef(split=name, entry=entry) for name, split in manifest.splits.items() for entry in split.shards]
    num_records = sum(shard.entry.num_records for shard in shards)
    chosen = choose_shards(shards, num_records=num_records)
    moved = [name for spec in manifest.declared if spec.is_moved for name in spec.columns]
    # Tables are decoded in this thread: Arrow keeps memory for each decoding thread, 150 MB for a bucket's threads.
    fetched = read_in_order(store, chosen, lambda shard: store.view(_table_key(shard)))
    tables = (_decode_table(store, shard, data, moved) for shard, data in zip(chosen, fetched, strict=True))
    table = pa.concat_tables(tables)
    stored = load_copies(store)
    has_all_copies = bool(stored.num_rows) or not manifest.num_duplicates  # 0.1.0 counted copies and wrote no list
    copies = _telling_groups(stored if has_all_copies else _copies_in(table))
    crossing = [group for group in copies if len(group.splits) > 1]
    conflicts = [group for group in copies if len(group.labels) > 1]
    return RecordFacts(
        table=table.drop_columns(["source_sha256"]),
        num_records=num_records,
        num_crossing=len(crossing),
        num_conflicts=len(conflicts),
        crossing=tuple(crossing[:_MAX_LISTED]),
        conflicts=tuple(conflicts[:_MAX_LISTED]),
        has_all_copies=has_all_copies,
    )


def choose_shards(shards: Sequence[ShardRef], *, num_records: int) -> list[ShardRef]:
    """Return all shards or, of a large data set, evenly spread shards of each split with about MAX_RECORDS records."""
    if num_records <= MAX_RECORDS:
        return list(shards)
    stride = -(-num_records // MAX_RECORDS)
    by_split: dict[str, list[ShardRef]] = {}
    for shard in shards:
        by_split.setdefault(shard.split, []).append(shard)
    return [shard for split in by_split.values() for shard in split[::stride]]


def _table_key(shard: ShardRef) -> str:
    return records_key(shard.split, stem_of(shard.entry.key))


def _decode_table(store: Store, shard: ShardRef, data: memoryview, moved: Sequence[str]) -> pa.Table:
    table = decode_records(data, name=f"{store.uri}/{_table_key(shard)}")
    num_rows = table.num_rows
    columns = {
        "split": pa.array([shard.split] * num_rows, pa.string()).dictionary_encode(),
        "shard": pa.array([shard.entry.key] * num_rows, pa.string()).dictionary_encode(),
        "position": pa.array(range(num_rows), pa.int64()),
        "key": table.column("key").cast(pa.string()),
        "label_text": label_texts(table),
        "source_num_bytes": table.column("source_num_bytes"),
        "num_bytes": table.column("num_bytes"),
        "is_fill": table.column("is_fill"),
        "source_sha256": table.column("source_sha256"),
    }
    columns |= {name: table.column(name) for name in moved}
    return pa.table(columns).unify_dictionaries()


def _telling_groups(copies: pa.Table) -> list[CopiedGroup]:
    """Return the groups of exact copies that are in several splits or have several labels."""
    groups = map(_group, copies.to_pylist())
    return [group for group in groups if len(group.splits) > 1 or len(group.labels) > 1]


def _copies_in(table: pa.Table) -> pa.Table:
    """Return the exact copies among the items of a table, without fills."""
    items = table.filter(pc.invert(table.column("is_fill")))
    counts = items.select(["source_sha256"]).group_by("source_sha256").aggregate([("source_sha256", "count")])
    repeated = counts.filter(pc.greater(counts.column("source_sha256_count"), 1)).column("source_sha256")
    copies = items.filter(pc.is_in(items.column("source_sha256"), value_set=repeated.combine_chunks()))
    rows = copies.select(["source_sha256", "key", "split", "label_text"]).to_pylist()
    found = [
        CopiedItem(source_sha256=row["source_sha256"], key=row["key"], label=row["label_text"], split=row["split"])
        for row in rows
    ]
    return build_copies(found)


def _group(row: Mapping[str, Any]) -> CopiedGroup:
    keys = [*([] if row["kept_key"] is None else [row["kept_key"]]), *row["other_keys"]]
    return CopiedGroup(keys=tuple(sorted(keys)), splits=_each_once(row["splits"]), labels=_each_once(row["labels"]))


def _each_once(values: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value is not None}))
