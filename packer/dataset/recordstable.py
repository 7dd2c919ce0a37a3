"""`meta/records/<split>/<shard>.parquet`: what each record of a shard is. Authoritative for verify and reshard.

key  source_num_bytes  label (or none)  extra columns...  source_sha256 (32 bytes)  is_fill  num_bytes (framed)
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from packer.errors import DataSetError
from packer.planning.digest import table_digest

RESERVED_COLUMNS = ("key", "num_bytes", "source_num_bytes", "label", "shard", "source_sha256", "is_fill")
"""Names that an extra column cannot have."""


class RecordRow(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a shard."""

    item_index: int
    """Row of its item among the shard's items."""
    source_sha256: bytes
    is_fill: bool
    num_bytes: int
    """Framed size."""


def encode_records(items: pa.Table, rows: Sequence[RecordRow]) -> tuple[bytes, str]:
    """Return the table of a shard's records as a Parquet file, and the digest of its values.

    Args:
        items: the shard's items as planned.
        rows: its records in their order.
    """
    table = items.take(pa.array([row.item_index for row in rows], pa.int64()))
    table = table.select([name for name in table.column_names if not name.startswith("_")])
    names = ["source_num_bytes" if name == "num_bytes" else name for name in table.column_names]
    table = table.rename_columns(names)
    table = table.append_column("source_sha256", pa.array([row.source_sha256 for row in rows], pa.binary(32)))
    table = table.append_column("is_fill", pa.array([row.is_fill for row in rows], pa.bool_()))
    table = table.append_column("num_bytes", pa.array([row.num_bytes for row in rows], pa.int64()))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes(), table_digest(table)


def decode_records(data: bytes | memoryview, *, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table of a records file, or some of its columns. Raises DataSetError where it cannot be read."""
    try:
        return pq.read_table(pa.BufferReader(data), columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        raise DataSetError(f"{name}: the table of records cannot be read: {error}") from None
