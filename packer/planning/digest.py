"""Digest of a table's values: independent of chunking, file format and library version.

Rows are hashed in steps of 65,536. Of each step every column adds its validity as a bit map and its values: numbers as
little-endian bytes, texts as their lengths and their bytes, lists as their lengths and then their values likewise.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_ROWS_PER_STEP = 1 << 16


def table_digest(table: pa.Table) -> str:
    """Return the sha256, as hex digits, of a table's column names, types and values in their order."""
    state = hashlib.sha256()
    for field in table.schema:
        state.update(f"{field.name}\0{_plain_type(field.type)}\0".encode())
    for start in range(0, max(1, table.num_rows), _ROWS_PER_STEP):
        for column in table.slice(start, _ROWS_PER_STEP).columns:
            _update(state, pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type))
    return state.hexdigest()


def _plain_type(kind: pa.DataType) -> str:
    """Return a type's name without what Parquet does not keep, such as whether offsets have 32 or 64 bits."""
    if _is_list(kind):
        return f"list<{_plain_type(kind.value_type)}>"
    return str(kind).removeprefix("large_")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _update(state: Any, array: pa.Array) -> None:
    kind = array.type
    state.update(len(array).to_bytes(8, "little"))
    state.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    present = array.drop_null()
    if pa.types.is_null(kind):
        return
    if _is_list(kind):
        _update_numbers(state, pc.list_value_length(present).cast(pa.int64()))
        _update(state, present.flatten())
    elif pa.types.is_primitive(kind):
        _update_numbers(state, present)
    else:
        binary = present.cast(pa.large_string()).cast(pa.large_binary()) if pa.types.is_string(kind) else present
        binary = pa.concat_arrays([binary.cast(pa.large_binary())])
        _update_numbers(state, pc.binary_length(binary).cast(pa.int64()))
        _, offsets, data = binary.buffers()
        if len(binary) and data is not None:
            bounds = np.frombuffer(offsets, dtype=np.int64)[binary.offset : binary.offset + len(binary) + 1]
            state.update(memoryview(data)[bounds[0] : bounds[-1]])


def _update_numbers(state: Any, array: pa.Array) -> None:
    numbers = array.to_numpy(zero_copy_only=False)
    state.update(np.ascontiguousarray(numbers.astype(numbers.dtype.newbyteorder("<"), copy=False)).tobytes())
