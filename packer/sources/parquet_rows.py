"""Reading the rows of a Parquet file in steps: some kilobytes of it can stand for billions of rows that are alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from packer.errors import SourceError

BATCH_ROWS = 65_536
_MAX_ROWS_AT_ONCE = 1_000_000
"""Fewer rows that are alike cost little memory, and are refused with the places of the first few."""


def read_rows(path: str, columns: Sequence[str] | None) -> pa.Table:
    """Return a Parquet file's rows with the columns named, or with all columns.

    Raises:
        SourceError: among many rows a stretch has no column of text that could be its paths.
        pa.ArrowException, OSError: the file cannot be read.
    """
    with pq.ParquetFile(path) as file:
        names = None if columns is None else list(columns)
        if file.metadata.num_rows <= _MAX_ROWS_AT_ONCE:
            return file.read(names)
        batches = file.iter_batches(BATCH_ROWS, columns=names)
        return pa.Table.from_batches(list(_iter_with_paths(path, batches)))


def _iter_with_paths(path: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    first = 1
    for batch in batches:
        last = first + len(batch) - 1
        if not any(_is_text(column.type) and tells_rows_apart(column) for column in batch.columns):
            raise SourceError(
                f"{path}: expected a path of its own in each row, but rows {first:,} to {last:,} have no column of "
                "text in which even half of the values differ; write the listing anew"
            )
        yield batch
        first = last + 1


def tells_rows_apart(column: pa.Array) -> bool:
    """Say whether at least half of the values of an array differ from each other."""
    values = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return bool(2 * pc.count_distinct(values, mode="all").as_py() >= len(values))


def _is_text(kind: pa.DataType) -> bool:
    value_kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value_kind) or pa.types.is_large_string(value_kind))
