"""`meta/records/<split>/<shard>.parquet`: what each record of a shard is. Authoritative for verify and reshard.

key  source_num_bytes  label (or none)  extra columns...  source_sha256 (32 bytes)  is_fill  num_bytes (framed)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from packer.errors import DataSetError
from packer.formats.container import ExtraValue

_CREATED_BY = re.compile(rb"parquet-cpp-arrow version \d+\.\d+\.\d+")


class RecordRow(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a shard."""

    item_index: int
    """Row of its item among the shard's items."""
    source_sha256: bytes
    is_fill: bool
    num_bytes: int
    """Framed size."""
    moved: Mapping[str, ExtraValue] = {}
    """Values of columns that packing changed: places in the picture."""


def build_records(items: pa.Table, rows: Sequence[RecordRow]) -> pa.Table:
    """Return the table of a shard's records.

    Args:
        items: the shard's items as planned.
        rows: its records in their order.
    """
    table = items.take(pa.array([row.item_index for row in rows], pa.int64()))
    for name in rows[0].moved if rows else ():
        field = table.schema.field(name)
        column = pa.array([row.moved[name] for row in rows], field.type)
        table = table.set_column(table.schema.get_field_index(name), field, column)
    table = table.select([name for name in table.column_names if not name.startswith("_")])
    names = ["source_num_bytes" if name == "num_bytes" else name for name in table.column_names]
    table = table.rename_columns(names)
    table = table.append_column("source_sha256", pa.array([row.source_sha256 for row in rows], pa.binary(32)))
    table = table.append_column("is_fill", pa.array([row.is_fill for row in rows], pa.bool_()))
    return table.append_column("num_bytes", pa.array([row.num_bytes for row in rows], pa.int64()))


def encode_records(records: pa.Table) -> bytes:
    """Return the table as a Parquet file; the bytes depend on its values and on Arrow's version alone."""
    sink = pa.BufferOutputStream()
    # One chunk a column: the writer begins a new page where a chunk begins.
    pq.write_table(records.combine_chunks(), sink, compression="zstd")
    return bytes(sink.getvalue())


def decode_records(data: bytes | memoryview, *, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table of a records file, or some of its columns. Raises DataSetError where it cannot be read."""
    try:
        # Not pq.read_table: it loads Arrow's data sets first. No threads: one that is the last to let go of Python's
        # bytes while the interpreter ends takes the process down with it (SIGABRT).
        parquet = pq.ParquetFile(pa.BufferReader(data))
        table = parquet.read(columns=None if columns is None else list(columns), use_threads=False)
        table.validate(full=True)
        table = table if columns is None else table.select(columns)
    except (pa.ArrowException, OSError, UnicodeDecodeError, KeyError) as error:
        problem = " ".join(str(error).split())
        raise DataSetError(f"{name}: the table of records cannot be read: {problem}") from None
    return table


def is_same_file(records: pa.Table, data: bytes) -> bool:
    """Say whether a file is, byte for byte, what `encode_records` made of the table that was read from it."""
    return is_same_parquet(encode_records(records), data)


def is_same_parquet(again: bytes | memoryview, data: bytes | memoryview) -> bool:
    """Say whether a Parquet file is, byte for byte, what is written of the rows that were read from it.

    A digest of the rows does not cover what Parquet keeps beside them, such as statistics. Where another version of
    Arrow wrote the file, that cannot be compared, and the rows have to do.
    """
    if again == data:
        return True
    ours, theirs = _CREATED_BY.findall(again), _CREATED_BY.findall(data)
    return len(theirs) == 1 and ours != theirs
