"""Sizes and entity tags of the remote objects that a listing names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from packer.sources.items import ETAG, NUM_BYTES
from packer.sources.keys import common_folder
from packer.sources.sizes import MISSING
from packer.stores.store import ObjectInfo, Store

_SCHEMA = pa.schema([("key", pa.large_string()), (NUM_BYTES, pa.int64()), (ETAG, pa.large_string())])
_CHUNK_OBJECTS = 65_536


def load_objects(store: Store, keys: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    """Return the columns NUM_BYTES (MISSING where there is no object) and ETAG of some keys of a store.

    One listing of the folder that holds all of them is read, which is a thousandth of a request for each object in it.
    Of the others in it no more are held at a time than there are keys, or 65,536. Raises OSError as the store does.
    """
    found = _find_objects(store.list(common_folder(keys)), keys)
    rows = pc.index_in(keys, value_set=found.column("key"))
    return {
        NUM_BYTES: pc.fill_null(found.column(NUM_BYTES).take(rows), MISSING),
        ETAG: pc.fill_null(found.column(ETAG).take(rows), ""),
    }


def _find_objects(objects: Iterator[ObjectInfo], keys: pa.ChunkedArray) -> pa.Table:
    """Return the objects among `objects` whose key is one of the keys.

    As many as there are keys are held before those not wanted are dropped, so that memory is bounded by the keys, and
    looking through these, each time anew, costs no more than the objects do.
    """
    found: list[pa.Table] = []
    held: list[pa.Table] = []
    num_held = 0
    for chunk in _chunks(objects):
        held.append(chunk)
        num_held += len(chunk)
        if num_held >= len(keys):
            found.append(_select(held, keys))
            held, num_held = [], 0
    return pa.concat_tables([*found, _select(held, keys)])


def _select(tables: list[pa.Table], keys: pa.ChunkedArray) -> pa.Table:
    table = pa.concat_tables(tables) if tables else _SCHEMA.empty_table()
    return table.filter(pc.is_in(table.column("key"), value_set=keys))


def _chunks(objects: Iterator[ObjectInfo]) -> Iterator[pa.Table]:
    while chunk := list(islice(objects, _CHUNK_OBJECTS)):
        columns = zip(*((info.key, info.num_bytes, info.etag) for info in chunk), strict=True)
        yield pa.table([pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], _SCHEMA)
