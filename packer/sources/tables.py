"""Reading a listing's rows as they stand, and saying where a row is.

CSV columns all come as text (columns.py gives them types), so that one odd value far down cannot change or break what
a first block suggested. The paths that rows name are not looked at here.
"""

from __future__ import annotations

import enum
import os
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from packer.errors import SourceError
from packer.parsing import ParseError
from packer.sources import lines
from packer.sources.json_depth import DepthCheckedFile
from packer.sources.mxnet_list import read_list
from packer.sources.parquet_rows import read_rows

NUM_EXAMPLES = 3
"""How many rows or names an error message shows."""

_BLOCK_BYTES = lines.MAX_LINE_BYTES
"""A row longer than a block cannot be read; Arrow's own 1 MB is small for a row with a long vector."""


class TableKind(enum.StrEnum):
    CSV = "csv"
    """Values between commas, or between tabs."""
    JSON = "json"
    LIST = "list"
    """An MXNet image list."""
    PARQUET = "parquet"


_KINDS = {
    ".csv": TableKind.CSV,
    ".csv.gz": TableKind.CSV,
    ".tsv": TableKind.CSV,
    ".tsv.gz": TableKind.CSV,
    ".jsonl": TableKind.JSON,
    ".jsonl.gz": TableKind.JSON,
    ".ndjson": TableKind.JSON,
    ".ndjson.gz": TableKind.JSON,
    ".manifest": TableKind.JSON,
    ".lst": TableKind.LIST,
    ".parquet": TableKind.PARQUET,
}
LISTING_SUFFIXES = tuple(_KINDS)
_HEAVY_BYTES = 65_536
_BYTE_TYPES = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")


def find_kind(path: str) -> TableKind | None:
    """Return the kind that a file's name states, or None."""
    name = os.path.basename(path).lower()
    return next((kind for suffix, kind in _KINDS.items() if name.endswith(suffix)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTable:
    """A listing's rows in the order of its files, which `name` and row numbers in messages refer to."""

    name: str
    kind: TableKind
    files: tuple[str, ...]
    rows_per_file: tuple[int, ...]
    table: pa.Table
    notices: tuple[str, ...] = ()
    """What was left out, in plain sentences."""

    def locate(self, rows: Sequence[int]) -> list[str]:
        """Return ``line 7`` (from 1, the header counted) for each row index, or ``row 7`` where there are no lines."""
        if self.kind is not TableKind.PARQUET:
            delimiter = find_delimiter(self.files[0]) if self.kind is TableKind.CSV else None
            numbers = lines.find_row_lines(self.files[0], delimiter=delimiter)
            if len(numbers) == self.table.num_rows:
                return [f"line {numbers[row]}" for row in rows]
        stops = np.cumsum(self.rows_per_file)
        return [self._locate_row(row, int(np.searchsorted(stops, row, side="right"))) for row in rows]

    def _locate_row(self, row: int, file_index: int) -> str:
        start = sum(self.rows_per_file[:file_index])
        within = f"{os.path.basename(self.files[file_index])} " if len(self.files) > 1 else ""
        return f"{within}row {row - start + 1}"

    def show(self, rows: Sequence[int], values: Sequence[object] | None = None) -> str:
        """Return the first few rows for a message: ``'a.jpg' (line 2), 'b.jpg' (line 9), ...``."""
        places = self.locate(rows[:NUM_EXAMPLES])
        shown = (
            places if values is None else [f"{value!r} ({place})" for value, place in zip(values, places, strict=False)]
        )
        return ", ".join(shown) + ", ..." * (len(rows) > NUM_EXAMPLES)


def find_delimiter(path: str) -> str:
    """Return what stands between the values of a CSV or TSV file."""
    return "\t" if path.lower().endswith((".tsv", ".tsv.gz")) else ","


def load_table(name: str, files: Sequence[str]) -> RawTable:
    """Read one listing file, or several Parquet files in the order given.

    A Parquet column of more than 64 KB of bytes or text a row, such as the images themselves, is not read.

    Raises:
        SourceError: a file that cannot be read or parsed, with its line where there is one; two columns of one name.
    """
    kind = find_kind(files[0]) or TableKind.PARQUET
    heavy = find_heavy_columns({file: file for file in files}) if kind is TableKind.PARQUET else frozenset()
    tables = [_load_file(file, kind, heavy) for file in files]
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise SourceError(f"{name}: its files disagree about a column: {_one_line(error)}") from None
    sizes = tuple(part.num_rows for part in tables)
    notices = tuple(left_out_notice(column) for column in sorted(heavy))
    return RawTable(name=name, kind=kind, files=tuple(files), rows_per_file=sizes, table=table, notices=notices)


def _load_file(path: str, kind: TableKind, heavy: Set[str]) -> pa.Table:
    readers = {TableKind.CSV: _read_csv, TableKind.JSON: _read_json, TableKind.LIST: read_list}
    try:
        table = _read_parquet(path, heavy) if kind is TableKind.PARQUET else readers[kind](path)
        table.validate(full=True)
    except (ParseError, lines.LineFault) as error:
        raise SourceError(f"{path}: {error}") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if str(error) in ("Empty CSV file", "Empty JSON file"):
            raise SourceError(f"{path}: nothing in it: expected one row per image") from None
        raise SourceError(f"{path}: {_find_fault(path, kind) or _one_line(error)}") from None
    names = table.column_names
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise SourceError(f"{path}: expected each column once, got {twice[0]!r} more than once; rename one")
    return table


def _read_csv(path: str) -> pa.Table:
    parsing = pa.csv.ParseOptions(newlines_in_values=True, delimiter=find_delimiter(path))
    with pa.input_stream(path, compression="detect") as stream:
        names = pa.csv.open_csv(stream, parse_options=parsing).schema.names
    converting = pa.csv.ConvertOptions(
        column_types={name: pa.large_string() for name in names},
        null_values=[""],
        strings_can_be_null=True,
    )
    with pa.input_stream(path, compression="detect") as stream:
        table = pa.csv.read_csv(stream, parse_options=parsing, convert_options=converting)
    return table.rename_columns([name.strip() for name in names])


def _read_json(path: str) -> pa.Table:
    table = _read_json_as(path, None)
    dates_as_text = pa.schema([field.with_type(_replace_timestamps(field.type)) for field in table.schema])
    # Arrow takes text such as "2024-01-01" for a time, which would come back in another form.
    return table if dates_as_text == table.schema else _read_json_as(path, dates_as_text)


def _read_json_as(path: str, schema: pa.Schema | None) -> pa.Table:
    reading = pa.json.ReadOptions(block_size=_BLOCK_BYTES)
    with pa.input_stream(path, compression="detect") as stream:
        return pa.json.read_json(
            DepthCheckedFile(stream, max_line_bytes=_BLOCK_BYTES),
            read_options=reading,
            parse_options=pa.json.ParseOptions(explicit_schema=schema),
        )


def _replace_timestamps(kind: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_replace_timestamps(kind.value_type))
    if pa.types.is_struct(kind):
        # By name, since Arrow lets names pass that are not UTF-8, and would fail on them later.
        return pa.struct([pa.field(field.name, _replace_timestamps(field.type)) for field in kind])
    return kind


def _read_parquet(path: str, heavy: Set[str]) -> pa.Table:
    names = pa.parquet.read_schema(path).names if heavy else ()
    return read_rows(path, [name for name in names if name not in heavy] if heavy else None)


def left_out_notice(column: str) -> str:
    """Return what is said of a column that is too large."""
    return f"column {column!r} left out: more than {_HEAVY_BYTES // 1024} KB a row, too much for an extra column"


def find_heavy_columns(files: Mapping[str, str | BinaryIO]) -> frozenset[str]:
    """Return the columns whose bytes or texts are too large to be read, by the files' own statistics.

    Args:
        files: by name, each as a path or open.

    Raises:
        SourceError: one cannot be read.
    """
    sizes: Counter[str] = Counter()
    num_rows = 0
    for path, content in files.items():
        try:
            with pa.parquet.ParquetFile(content) as file:
                names = sorted(file.schema_arrow.names, key=len, reverse=True)
                num_rows += file.metadata.num_rows
                for group in map(file.metadata.row_group, range(file.metadata.num_row_groups)):
                    for leaf in map(group.column, range(group.num_columns)):
                        if leaf.physical_type in _BYTE_TYPES:
                            sizes[_find_column(leaf.path_in_schema, names)] += leaf.total_uncompressed_size
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path}: {_one_line(error)}") from None
    return frozenset(name for name, size in sizes.items() if size > _HEAVY_BYTES * num_rows)


def _find_column(leaf: str, names: Sequence[str]) -> str:
    """Return the column, of `names` from the longest, that a leaf such as ``image.bytes`` belongs to."""
    return next(name for name in names if leaf == name or leaf.startswith(name + "."))


def _find_fault(path: str, kind: TableKind) -> str:
    if kind is TableKind.CSV:
        return lines.find_csv_fault(path, find_delimiter(path))
    return lines.find_json_fault(path) if kind is TableKind.JSON else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
