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
    digest = TableDigest(table.schema)
    digest.update(table)
    return digest.finish()


class TableDigest:
    """The same digest of a table that comes in parts; fewer than 65,536 of their rows are held."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._state = hashlib.sha256()
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0
        self._is_empty = True
        for field in schema:
            self._state.update(f"{field.name}\0{_plain_type(field.type)}\0".encode())

    def update(self, part: pa.Table) -> None:
        """Add the next rows, which have the same columns."""
        start = 0
        while (stop := start + _ROWS_PER_STEP - self._num_waiting) <= part.num_rows:
            self._add_step(part.slice(start, stop - start))
            start = stop
        self._waiting.append(part.slice(start))
        self._num_waiting += part.num_rows - start

    def finish(self) -> str:
        """Return the digest, as hex digits; the last call."""
        if self._num_waiting or self._is_empty:
            self._add_step(self._schema.empty_table())
        return self._state.hexdigest()

    def _add_step(self, last: pa.Table) -> None:
        for index, kind in enumerate(self._schema.types):
            chunks = [chunk for table in (*self._waiting, last) for chunk in table.column(index).chunks]
            _update(self._state, pa.concat_arrays(chunks) if chunks else pa.array([], kind))
        self._waiting, self._num_waiting, self._is_empty = [], 0, False


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
