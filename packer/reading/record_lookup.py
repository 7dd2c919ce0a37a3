"""One record of a data set by its key or its number, for people who want to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.manifest import ShardEntry
from packer.dataset.recordstable import decode_records
from packer.dataset.sidefiles import load_places
from packer.errors import OptionsError
from packer.formats.container import Sample
from packer.formats.registry import get_format
from packer.planning.layout import records_key, stem_of
from packer.reading.dataset import DataSet
from packer.stores.readahead import read_in_order


class FoundRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record is, and what it holds."""

    split: str
    shard: str
    """Key of its shard."""
    position: int
    """In its shard, from 0."""
    offset_bytes: int
    num_bytes: int
    """Size of the record with its framing."""
    row: dict[str, Any]
    """Its row in the table of records: key, label, extra columns, sizes, digest of the source."""
    sample: Sample


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """A record's row in a shard's table."""

    split: str
    shard: ShardEntry
    table: pa.Table
    position: int


def find_record(dataset: DataSet, wanted: str, *, split: str | None = None) -> FoundRecord:
    """Return a record by its key, or by its number in a split.

    Args:
        dataset: where it is.
        wanted: a key, or a number from 0 that counts the records of the split in stored order. A key that is a number
            is found where no split has so many records.
        split: the split to look in; by default every one for a key, and the first one for a number.

    Raises:
        OptionsError: there is no such record.
        DataSetError: the split, a table, an index or the record cannot be read.
        OSError: the store failed.
    """
    names = [split] if split is not None else list(dataset.manifest.splits)
    entries = {name: dataset.manifest.split(name).shards for name in names}
    place = _by_number(dataset, names[0], int(wanted)) if wanted.isascii() and wanted.isdigit() else None
    place = place or _by_key(dataset, entries, wanted)
    if place is None:
        num_records = sum(shard.num_records for shard in entries[names[0]])
        raise OptionsError(
            f"{wanted}: expected the key of a record in {', '.join(names)}, or a number from 0 to "
            f"{num_records - 1:,} of {names[0]}; the tables in meta/records list all keys"
        )
    return _load(dataset, place)


def _by_number(dataset: DataSet, split: str, number: int) -> _Place | None:
    for shard in dataset.manifest.split(split).shards:
        if number < shard.num_records:
            return _Place(split=split, shard=shard, table=_load_table(dataset, split, shard), position=number)
        number -= shard.num_records
    return None


def _by_key(dataset: DataSet, entries: dict[str, tuple[ShardEntry, ...]], key: str) -> _Place | None:
    def each() -> Iterator[tuple[str, ShardEntry]]:
        for split, shards in entries.items():
            for shard in shards:
                yield split, shard

    tables = read_in_order(dataset.store, each(), lambda place: _load_table(dataset, *place))
    for (split, shard), table in zip(each(), tables, strict=True):
        position = pc.index(table.column("key").cast(pa.string()), key).as_py()
        if position >= 0:
            return _Place(split=split, shard=shard, table=table, position=position)
    return None


def _load_table(dataset: DataSet, split: str, shard: ShardEntry) -> pa.Table:
    key = records_key(split, stem_of(shard.key))
    return decode_records(dataset.store.view(key), name=f"{dataset.uri}/{key}")


def _load(dataset: DataSet, place: _Place) -> FoundRecord:
    container = get_format(dataset.manifest.format)
    places = load_places(dataset.store, container, place.split, place.shard)
    data, *pictures = (
        dataset.store.get_range(place.shard.key, start, start + num_bytes)
        for start, num_bytes in places.spans_of(place.position)
    )
    start, num_bytes = places.offsets_bytes[place.position], len(data)
    sample = container.decode_record(
        data,
        pictures=dict(zip(places.pictures, pictures, strict=True)),
        name=f"{dataset.uri}/{place.shard.key}",
        record_index=place.position,
        offset_bytes=start,
    )
    return FoundRecord(
        split=place.split,
        shard=place.shard.key,
        position=place.position,
        offset_bytes=start,
        num_bytes=num_bytes,
        row=place.table.slice(place.position, 1).to_pylist()[0],
        sample=sample,
    )
