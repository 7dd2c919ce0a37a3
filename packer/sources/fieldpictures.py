"""Where masks and further images of an item lie: in files that rows name, or in a folder of them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.sources.fieldcolumns import PICTURES
from packer.sources.image_names import is_hidden, is_image, quote
from packer.sources.items import KEY, NUM_BYTES, Listing, SourceSpec
from packer.sources.keys import build_keys
from packer.sources.members import picture_column
from packer.sources.roles import expect_column
from packer.sources.tables import RawTable
from packer.specs import FieldSource, FieldSpec
from packer.stores.open_store import absolute_uri, is_local, open_store

Columns: TypeAlias = "dict[str, pa.ChunkedArray]"


def build_picture_keys(raw: RawTable, field: FieldSource, root: str, *, folder: str) -> pa.ChunkedArray:
    """Return the keys of the files that a column of a listing names, as `build_keys`; one may be there twice."""
    expect_column(raw.table.column_names, field.column, "field")
    return build_keys(raw, field.column, root, folder=folder, may_repeat=True)


def picture_columns(field: FieldSource, keys: pa.ChunkedArray, found: Mapping[str, pa.ChunkedArray]) -> Columns:
    """Return the columns of a field of pictures: their keys, and what is `found` of them (sizes, places)."""
    hidden = {picture_column(field.name, name): column for name, column in found.items() if name != "_etag"}
    return {field.name: keys, **hidden}


def add_folder_pictures(listing: Listing, spec: SourceSpec) -> Listing:
    """Return a folder's items with the pictures that lie in other folders under the same names, whatever their suffix.

    The folder of a field is relative to the source. One in the source is no class, and its pictures are no items; then
    an image ``images/1.jpg`` has its mask in ``masks/1.png``.

    Raises SourceError for fields of other kinds, which need a listing, and for items without a picture.
    """
    for field in spec.fields:
        if field.kind not in PICTURES:
            raise SourceError(
                f"{spec.source}: expected a folder of masks or images beside a folder, got {field.kind} for "
                f"{field.name!r}; write a listing, such as .jsonl, with a column of them",
                field="field",
            )
        if not is_local(spec.source) and ".." in field.column.split("/"):
            raise SourceError(
                f"{spec.source}: expected a folder of the source in a bucket, got {field.column!r}; name the folder "
                "above as SOURCE",
                field="field",
            )
    inside = [f"{field.column.strip('/')}/" for field in spec.fields if not field.column.startswith(("/", ".."))]
    items = _without(listing, inside, spec)
    for field in spec.fields:
        items = _add(items, spec, field)
    fields = tuple(FieldSpec(name=field.name, kind=field.kind) for field in spec.fields)
    return replace(listing, items=items, fields=fields)


def _without(listing: Listing, folders: list[str], spec: SourceSpec) -> pa.Table:
    items = listing.items
    for folder in folders:
        if not spec.flat and not spec.split_folders:
            raise SourceError(
                f"{spec.source}: the folders in it are classes, and {folder[:-1]!r} is to be none; pass `flat=True`, "
                "or give a folder outside of it, such as ../masks",
                field="field",
            )
        items = items.filter(pc.invert(pc.starts_with(items.column(KEY), folder)))
    if not items.num_rows:
        raise SourceError(f"{spec.source}: nothing in it but the pictures of fields")
    return items


def _add(items: pa.Table, spec: SourceSpec, field: FieldSource) -> pa.Table:
    is_absolute = field.column.startswith("/")
    place = field.column if is_absolute else posixpath.join(spec.source, field.column)
    prefix = posixpath.relpath(place, absolute_uri(spec.source)) if is_absolute else field.column.rstrip("/")
    found: dict[str, tuple[str, int]] = {}
    twice = []
    for info in open_store(absolute_uri(place), spec.store).list():
        if is_image(info.key) and not any(is_hidden(part) for part in info.key.split("/")):
            stem = posixpath.splitext(info.key)[0]
            twice += [stem] if stem in found else []
            found[stem] = (f"{prefix}/{info.key}", info.num_bytes)
    if twice:
        raise SourceError(f"{place}: expected one picture of a name, got more for {quote(twice)}", field="field")
    keys = items.column(KEY).to_pylist()
    pictures = [_find(found, posixpath.splitext(key)[0]) for key in keys]
    missing = [key for key, picture in zip(keys, pictures, strict=True) if picture is None]
    if missing:
        raise SourceError(
            f"{place}: expected a picture for each of the {len(keys):,} images, under the same name; "
            f"{len(missing):,} have none: {quote(missing)}",
            field="field",
        )
    there = [picture for picture in pictures if picture is not None]
    columns = picture_columns(
        field,
        pa.chunked_array([pa.array([key for key, _ in there], pa.large_string())]),
        {NUM_BYTES: pa.chunked_array([pa.array([size for _, size in there], pa.int64())])},
    )
    for name, column in columns.items():
        items = items.append_column(name, column)
    return items


def _find(found: Mapping[str, tuple[str, int]], stem: str) -> tuple[str, int] | None:
    return found.get(stem) or found.get(stem.partition("/")[2])
