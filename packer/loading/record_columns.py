"""Keys and extra columns of records, read from the tables beside the shards if the container does not hold them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from packer.errors import DataSetError, OptionsError
from packer.formats.registry import get_format
from packer.loading.loader_input import InputShards
from packer.loading.loader_spec import LoaderSpec
from packer.loading.record_order import RecordRef
from packer.planning.layout import records_key, stem_of
from packer.stores.store import ObjectNotFoundError

KEY = "key"
_OWN_COLUMNS = frozenset({KEY, "source_num_bytes", "label", "source_sha256", "is_fill", "num_bytes"})
"""Columns that every table of records has; all others are extra columns."""
_MAX_TABLES = 64


class RecordColumns:
    """Some columns of the tables of records; a table is read when first needed. Safe to use from any thread."""

    def __init__(self, shards: InputShards, spec: LoaderSpec) -> None:
        self._shards, self._split = shards, spec.split
        self._names = (*([KEY] if spec.keys else ()), *spec.columns)
        self._lock = threading.Lock()
        self._known: OrderedDict[int, Mapping[str, Sequence[Any]]] = OrderedDict()

    def value(self, name: str, ref: RecordRef) -> Any:
        """Return a record's value in a column; a list becomes a tuple.

        Raises DataSetError if the table is missing, cannot be read, or has another number of records.
        """
        with self._lock:
            known = self._known.get(ref.shard)
        if known is None:
            known = self._read(ref.shard)
            with self._lock:
                self._known[ref.shard] = known
                while len(self._known) > _MAX_TABLES:
                    self._known.popitem(last=False)
        value = known[name][ref.record]
        return tuple(value) if isinstance(value, list) else value

    def _read(self, shard: int) -> Mapping[str, Sequence[Any]]:
        entry = self._shards.files[shard].entry
        table = _load_table(self._shards, self._split, shard, self._names)
        if table is None or table.num_rows != entry.num_records:
            found = "none" if table is None else f"{table.num_rows:,}"
            raise DataSetError(
                f"{_name(self._shards, self._split, shard)}: expected a table of {entry.num_records:,} records, "
                f"found {found}"
            )
        columns: Mapping[str, Sequence[Any]] = table.to_pydict()
        return columns


def open_columns(shards: InputShards, spec: LoaderSpec) -> RecordColumns | None:
    """Return the tables with the requested keys and columns; None if the records hold them or none is requested.

    Raises:
        OptionsError: the data set has no such column, or the container holds none and the tables are not available.
    """
    if spec.columns and shards.index_store is not None:
        _check_names(shards, spec)
    if get_format(shards.manifest.format).holds_columns or not (spec.keys or spec.columns):
        return None
    if shards.index_store is None:
        raise OptionsError(
            f"{shards.uri}: {shards.manifest.format} shards hold no keys and no extra columns, and the tables that do "
            "are not in the channels; open the data set by its URI, or do without"
        )
    return RecordColumns(shards, spec)


def _check_names(shards: InputShards, spec: LoaderSpec) -> None:
    first = next((number for number, file in enumerate(shards.files) if file.entry.num_records), 0)
    table = _load_table(shards, spec.split, first, None)
    if table is None:
        return
    there = sorted(set(table.column_names) - _OWN_COLUMNS)
    missing = sorted(set(spec.columns).difference(there))
    if missing:
        raise OptionsError(f"columns: expected some of {', '.join(there) or 'none'}, got {', '.join(missing)}")


def _load_table(shards: InputShards, split: str, shard: int, names: Sequence[str] | None) -> Any:
    """Return some columns of a shard's table of records (all if `names` is None); None if there is no table."""
    from packer.dataset.recordstable import decode_records  # imports Arrow, which a loader seldom needs

    assert shards.index_store is not None
    name = _name(shards, split, shard)
    try:
        data = shards.index_store.get(records_key(split, stem_of(shards.files[shard].key)))
    except ObjectNotFoundError:
        return None
    except OSError as error:
        raise DataSetError(f"{name}: cannot read the table of records: {error}") from error
    return decode_records(data, name=name, columns=names)


def _name(shards: InputShards, split: str, shard: int) -> str:
    return f"{shards.uri.rstrip('/')}/{records_key(split, stem_of(shards.files[shard].key))}"
