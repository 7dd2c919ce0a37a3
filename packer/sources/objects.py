"""Sizes and entity tags of the remote objects that a listing names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from packer.sources.items import ETAG, NUM_BYTES
from packer.sources.sizes import MISSING
from packer.stores.base import ObjectInfo, Store

_CHUNK_OBJECTS = 65_536


def load_objects(store: Store, keys: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    """Return the columns NUM_BYTES (MISSING where there is no object) and ETAG of some keys of a store.

    One listing of the folder that holds all of them is read, which is a thousandth of a request for each object in it.
    Raises OSError as the store does.
    """
    bounds = pc.min_max(keys.cast(pa.large_binary())).as_py()
    common = os.path.commonprefix([bounds["min"], bounds["max"]]).decode(errors="ignore")  # noqa: RUF071
    folder = common[: common.rfind("/") + 1]
    tables = list(_chunks(store.list(folder)))
    found = pa.concat_tables(tables) if tables else _SCHEMA.empty_table()
    rows = pc.index_in(keys, value_set=found.column("key"))
    return {
        NUM_BYTES: pc.fill_null(found.column(NUM_BYTES).take(rows), MISSING),
        ETAG: pc.fill_null(found.column(ETAG).take(rows), ""),
    }


_SCHEMA = pa.schema([("key", pa.large_string()), (NUM_BYTES, pa.int64()), (ETAG, pa.large_string())])


def _chunks(objects: Iterator[ObjectInfo]) -> Iterator[pa.Table]:
    while chunk := list(islice(objects, _CHUNK_OBJECTS)):
        columns = zip(*((info.key, info.num_bytes, info.etag) for info in chunk), strict=True)
        yield pa.table([pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], _SCHEMA)
