"""Images in the rows of a table: the worker that has the rows writes them to files, from which packing reads them.

    rows of (image, path, label ...)  ->  images one after another in a file; rows of (path, label, file, offset)

The files stay at the destination until the data set is done; a run that resumes an interrupted one needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from packer.clusterplan.staging import Staging
from packer.errors import SourceError
from packer.sources.fieldcolumns import PICTURES
from packer.sources.image_names import quote
from packer.sources.items import SourceSpec
from packer.sources.members import SPILLED, SPILLED_AT
from packer.sources.roles import KEY_NAMES
from packer.sources.rowfiles import IMAGE_COLUMNS, is_bytes, is_struct_of_bytes

_NAMES = (*IMAGE_COLUMNS, "content")
_BINARY_FILE = {"path", "modificationTime", "length", "content"}
"""Columns of Spark's source `binaryFile`; `modificationTime` and `length` are left out."""
_FILE_BYTES = 64_000_000
SPILLED_BYTES = "_spilled_bytes"
PLACE_COLUMNS = (SPILLED, SPILLED_AT, SPILLED_BYTES)
"""Columns that staged rows have instead of an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageColumn:
    """The column that holds a table's images."""

    name: str
    paths: str | None
    """Field of this column that holds paths; None if another column holds them."""
    left_out: frozenset[str]
    """Names of columns to leave out."""


def find_image_column(schema: pa.Schema, spec: SourceSpec) -> ImageColumn | None:
    """Return the column of a table's images; None for a table without images.

    Raises SourceError if several columns hold images, no column holds a path for each image, or masks are elsewhere.
    """
    source, key_column = spec.source, spec.key_column
    free = [field for field in schema if field.name not in spec.field_columns]
    structs = [field.name for field in free if is_struct_of_bytes(field.type)]
    found = structs or [field.name for field in free if is_bytes(field.type) and field.name.lower() in _NAMES]
    if not found:
        return None
    if len(found) > 1:
        raise SourceError(f"{source}: the columns {quote(found)} hold images; leave out all but one")
    pictures = [field.column for field in spec.fields if field.kind in PICTURES]
    if pictures:
        raise SourceError(
            f"{source}: expected no masks and no further images beside images in the rows of a table, got the column "
            f"{pictures[0]!r}; write both to files, and their paths to the table",
            field="field",
        )
    others = [field.name for field in free if field.name != found[0]]
    has_paths = key_column in others if key_column is not None else any(name.lower() in KEY_NAMES for name in others)
    if not has_paths and not structs:
        raise SourceError(
            f"{source}: expected a path or another unique name in each row, beside the images in column {found[0]!r}, "
            f"since rows of a table have no order; name its column with `key_column`"
        )
    is_binary_file = set(schema.names) >= _BINARY_FILE
    return ImageColumn(
        name=found[0],
        paths="path" if not has_paths else None,
        left_out=frozenset({"modificationTime", "length"}) if is_binary_file else frozenset(),
    )


def spill_images(
    staging: Staging, name: str, batches: Iterator[pa.RecordBatch], column: ImageColumn
) -> Iterator[pa.RecordBatch]:
    """Write the images to files whose names begin with `name`; yield the rows with the places of their images.

    Raises SourceError for a row without an image.
    """
    held: list[pa.RecordBatch] = []
    number = 0
    for batch in batches:
        held.append(batch)
        if sum(each.nbytes for each in held) >= _FILE_BYTES:
            yield from _spill(staging, f"{name}-{number:04d}", held, column)
            held, number = [], number + 1
    if held:
        yield from _spill(staging, f"{name}-{number:04d}", held, column)


def _spill(staging: Staging, name: str, batches: list[pa.RecordBatch], column: ImageColumn) -> Iterator[pa.RecordBatch]:
    contents: list[memoryview] = []
    start = 0
    for batch in batches:
        values = batch.column(column.name)
        images = pc.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values
        images = images.cast(pa.large_binary())
        if images.null_count:
            raise SourceError(f"expected an image in each row of column {column.name!r}, some have none; remove them")
        sizes = pc.binary_length(images).cast(pa.int64()).to_numpy()
        contents.append(_content(images))
        columns = {
            each: batch.column(each)
            for each in batch.schema.names
            if each != column.name and each not in column.left_out
        }
        if column.paths is not None:
            columns[column.paths] = pc.struct_field(values, column.paths)
        columns[SPILLED] = pa.array([name] * len(batch), pa.large_string())
        columns[SPILLED_AT] = pa.array(start + np.cumsum(sizes) - sizes)
        columns[SPILLED_BYTES] = pa.array(sizes)
        start += int(sizes.sum())
        yield pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    staging.put_bytes(name, *contents)


def _content(images: pa.LargeBinaryArray) -> memoryview:
    """Return the bytes of all images, one after another, without a copy."""
    _, offsets, data = images.buffers()
    if data is None:
        return memoryview(b"")
    bounds = np.frombuffer(offsets, dtype=np.int64)[images.offset : images.offset + len(images) + 1]
    return memoryview(data)[int(bounds[0]) : int(bounds[-1])]
