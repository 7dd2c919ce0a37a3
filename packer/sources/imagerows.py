"""Images in rows: each row is read once, and its image put into a temporary file where packing finds it.

    FILE.parquet: rows of (image, label ...)   ->   SPILL/FILE.parquet@CHECKSUM: the images one behind the other
                                                    items (key FILE.parquet/ROW, offset, size, label ...)

A shard's items are spread over all row groups, which cannot be read in part; so images are spilled before there is a
plan, and are members of the spilled files from then on. Disk: as many bytes as the images have.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.formats.crc32c import crc32c
from packer.sources.columns import build_extra
from packer.sources.fieldcolumns import PICTURES, build_fields
from packer.sources.fieldpictures import picture_columns
from packer.sources.items import KEY, LABEL, NUM_BYTES, LabelKind, Listing, SourceSpec, build_items
from packer.sources.listing import build_listed_label
from packer.sources.members import ARCHIVE, IN_ROWS, METHOD, OFFSET_BYTES, STORED_BYTES
from packer.sources.roles import find_roles
from packer.sources.rowfiles import RowFiles, open_rows
from packer.sources.tables import RawTable, TableKind

_KEY = "_key"
_DIGITS = 8
"""Of a row's number in its key; more where there are more rows."""
_ROOM_BYTES = 100_000_000
"""Left free on the disk."""


class Spill(AbstractContextManager["Spill"]):
    """A temporary folder for images out of rows, made when it is needed and removed at the end."""

    def __init__(self) -> None:
        self._folder: str | None = None

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._remove()
            self._folder = None

    @property
    def root(self) -> str | None:
        """The folder that members in rows lie in; None where there are none."""
        return self._folder

    def make(self, num_bytes: int) -> str:
        """Return the folder. Raises SourceError where the disk has no room for `num_bytes`."""
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="shardpack-rows-")
            # Also where nobody enters it, and where the interpreter ends.
            self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        free = shutil.disk_usage(self._folder).free
        if free < num_bytes + _ROOM_BYTES:
            raise SourceError(
                f"{os.path.dirname(self._folder)}: expected {num_bytes / 1e6:,.0f} MB free for the images of the rows, "
                f"found {free / 1e6:,.0f}; let TMPDIR name a folder with more room"
            )
        return self._folder


@dataclass(frozen=True, slots=True)
class _SpilledFile:
    """What is known of a file when its images have been spilled."""

    name: str
    """Of the spilled file: the key, and a checksum of the images, so that other images are not taken for these."""
    sizes: pa.Array
    """Bytes of each image, int64."""
    others: pa.Table
    """The other columns."""
    pictures: dict[str, _SpilledFile] = dataclasses.field(default_factory=dict)
    """Masks and further images that are in the rows too, by their columns."""


class _Out:
    """A spilled file that is being written, with a checksum in its name in the end."""

    def __init__(self, folder: str, key: str) -> None:
        self._key, self._path = key, os.path.join(folder, *key.split("/"))
        self._sizes: list[pa.Array] = []
        self._checksum = 0
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        self.file = open(self._path, "wb")  # noqa: SIM115  closed by `close`, in an ExitStack

    def write(self, images: pa.Array) -> None:
        for content in _contents(images):
            self.file.write(content)
            self._checksum = crc32c(content, self._checksum) if self._checksum else crc32c(content)
        self._sizes.append(pc.binary_length(images).cast(pa.int64()))

    def finish(self, others: pa.Table) -> _SpilledFile:
        self.file.close()
        os.rename(self._path, f"{self._path}@{self._checksum:08x}")
        sizes = pa.concat_arrays(self._sizes) if self._sizes else pa.array([], pa.int64())
        return _SpilledFile(f"{self._key}@{self._checksum:08x}", sizes, others)


def list_rows(spec: SourceSpec, files: RowFiles, spill: Spill) -> Listing:
    """List the images of files of rows, and spill them. Raises SourceError, or OSError as the store does."""
    spilled = spill_rows(files, spill)
    raw = _raw_table(spec, files, spilled)
    pa.default_memory_pool().release_unused()
    roles = find_roles(raw, replace(spec, key_column=_KEY))
    columns = {name: build_extra(raw, name) for name in roles.extras}
    label = build_listed_label(raw, roles.labels, spec)
    names = files.class_names.get(roles.labels[0], ()) if len(roles.labels) == 1 else ()
    if names and label.kind is LabelKind.CLASS and spec.class_map is None:
        highest = pc.max(label.values).as_py()
        if highest >= len(names):
            raise SourceError(
                f"{spec.source}: expected ids below {len(names)} in column {roles.labels[0]!r}, as many as its "
                f"features name, got {highest}; mend the rows or the metadata"
            )
        label = replace(label, class_names=names)
    if label.values is not None:
        columns[LABEL] = label.values
    columns |= {KEY: raw.table.column(_KEY), **_member_columns(spilled)}
    built = build_fields(raw, spec, roles.extras)
    columns |= built.columns
    for field in spec.fields:
        if field.kind in PICTURES:
            if field.column not in files.pictures:
                raise SourceError(f"{spec.source}: expected images in the column {field.column!r}", field="field")
            pictures = [file.pictures[field.column] for file in spilled]
            columns |= picture_columns(field, raw.table.column(_KEY), _member_columns(pictures))
    notices = [f"column {name!r} left out: it holds further images" for name in files.left_out]
    return Listing(
        items=build_items(columns),
        label_kind=label.kind,
        class_names=label.class_names,
        root=files.store.uri,
        notices=(*notices, *roles.notices, *label.notices),
        spilled=spill.root,
        fields=built.fields,
    )


def spill_rows(files: RowFiles, spill: Spill) -> list[_SpilledFile]:
    """Spill all images, each row group read once."""
    total = sum(info.num_bytes for key in files.keys for info in files.store.list(key) if info.key == key)
    folder = spill.make(total)
    return [_spill_file(files, key, folder) for key in files.keys]


def _spill_file(files: RowFiles, key: str, folder: str) -> _SpilledFile:
    others: list[pa.RecordBatch] = []
    columns = (files.column, *files.pictures)
    with open_rows(files.store, key) as rows, ExitStack() as stack:
        outs = {name: _Out(folder, key if name == files.column else f"{key}:{name}") for name in columns}
        for name, out in outs.items():
            stack.callback(out.file.close)
            if name not in rows.schema.names:
                raise SourceError(f"{files.store.uri}/{key}: expected a column {name!r}, as the first file has")
        kept = [name for name in rows.schema.names if name not in columns and name not in files.left_out]
        for batch in rows.batches:
            taken = {name: _take_apart(batch.column(name), where=f"{files.store.uri}/{key}") for name in columns}
            for name, out in outs.items():
                out.write(taken[name][0])
            others.append(_with_paths(batch.select(kept), files.column, taken[files.column][1]))
        # Combined, since thousands of small batches take more memory than what is in them.
        table = pa.Table.from_batches(others).combine_chunks() if others else rows.schema.empty_table().select(kept)
        empty = table.select([])
        pictures = {name: outs[name].finish(empty) for name in files.pictures}
        return replace(outs[files.column].finish(table), pictures=pictures)


def _take_apart(column: pa.Array, *, where: str) -> tuple[pa.Array, pa.Array | None]:
    """Return the bytes of images, empty ones for those that are missing, and the paths that stand beside them."""
    images, paths = column, None
    if pa.types.is_struct(column.type):
        images, paths = pc.struct_field(column, "bytes"), pc.struct_field(column, "path")
        if not pa.types.is_null(paths.type) and pc.any(pc.and_(pc.is_null(images), pc.is_valid(paths))).as_py():
            example = paths.filter(pc.is_null(images)).drop_null()[0]
            raise SourceError(
                f"{where}: a row names a file ({example}) but does not hold it; embed the images, or write a listing "
                "of their paths"
            )
    return (pc.fill_null(images, b"") if images.null_count else images), paths


def _contents(images: pa.Array) -> Iterator[memoryview]:
    """Yield the bytes of all values, as they follow one another in memory."""
    if not len(images):
        return
    kind = np.int64 if pa.types.is_large_binary(images.type) else np.int32
    _, offsets, data = images.buffers()
    if data is None:
        return
    bounds = np.frombuffer(offsets, dtype=kind, count=len(images) + 1, offset=images.offset * np.dtype(kind).itemsize)
    yield memoryview(data)[int(bounds[0]) : int(bounds[-1])]


def _with_paths(batch: pa.RecordBatch, column: str, paths: pa.Array | None) -> pa.RecordBatch:
    """Keep the paths that the Hub's structs hold, as a column of their own."""
    name = f"{column}_path"
    if paths is None or name in batch.schema.names:
        return batch
    return pa.RecordBatch.from_arrays([*batch.columns, paths], names=[*batch.schema.names, name])


def _raw_table(spec: SourceSpec, files: RowFiles, spilled: list[_SpilledFile]) -> RawTable:
    """Return the rows without their images, as a listing whose keys are the files' own and the rows' numbers."""
    counts = [len(file.sizes) for file in spilled]
    try:
        table = pa.concat_tables(
            [file.others.replace_schema_metadata() for file in spilled], promote_options="permissive"
        )
    except pa.ArrowException as error:
        raise SourceError(f"{spec.source}: its files disagree about a column: {' '.join(str(error).split())}") from None
    if not sum(counts):
        raise SourceError(f"{spec.source}: nothing in it: expected one row per image")
    column = _joined([_row_keys(key, count) for key, count in zip(files.keys, counts, strict=True)])
    table = table.append_column(_KEY, column) if table.num_columns else pa.table({_KEY: column})
    return RawTable(
        name=spec.source, kind=TableKind.PARQUET, files=files.keys, rows_per_file=tuple(counts), table=table
    )


def _row_keys(key: str, num_rows: int) -> pa.Array:
    """Return ``KEY/00000000``, ``KEY/00000001`` and so on."""
    numbers = pa.array(np.arange(num_rows, dtype=np.int64)).cast(pa.large_string())
    return pc.binary_join_element_wise(
        pa.scalar(key, pa.large_string()), pc.utf8_lpad(numbers, _DIGITS, "0"), pa.scalar("/", pa.large_string())
    )


def _joined(parts: list[pa.Array]) -> pa.ChunkedArray:
    """Return a column of one chunk, which need not be copied again for the items' table."""
    return pa.chunked_array([pa.concat_arrays(parts)])


def _member_columns(spilled: list[_SpilledFile]) -> dict[str, pa.ChunkedArray]:
    num_rows = sum(len(file.sizes) for file in spilled)
    sizes = _joined([file.sizes for file in spilled])
    stops = [np.cumsum(file.sizes.to_numpy(), dtype=np.int64) for file in spilled]
    starts = [pa.array(stop - file.sizes.to_numpy()) for stop, file in zip(stops, spilled, strict=True)]
    names = [pa.repeat(pa.scalar(file.name, pa.large_string()), len(file.sizes)) for file in spilled]
    return {
        NUM_BYTES: sizes,
        ARCHIVE: _joined(names),
        OFFSET_BYTES: _joined(starts),
        STORED_BYTES: sizes,
        METHOD: pa.chunked_array([pa.repeat(pa.scalar(IN_ROWS, pa.int64()), num_rows)]),
    }
