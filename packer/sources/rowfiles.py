"""Parquet and Arrow files whose rows hold the images themselves: which they are, and which column it is.

The images are a column of bytes, or of the Hugging Face Hub's structs {bytes, path}, whose files also tell the names of
the classes (the ``features`` in their schema's metadata).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from packer.errors import SourceError
from packer.sources.fieldcolumns import PICTURES
from packer.sources.image_names import is_hidden, quote
from packer.sources.items import SourceSpec
from packer.sources.roles import KEY_NAMES
from packer.stores.store import Store

ROW_SUFFIXES = (".parquet", ".arrow", ".feather")
IMAGE_COLUMNS = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
"""Names of a column of images, in any case of letters, where no metadata tell which one it is."""

_BATCH_ROWS = 64
"""Rows held at a time beside a row group of the file; photographs have some hundred kilobytes each."""
_HUB = b"huggingface"
_ARROW_FILE = b"ARROW1"
_BYTES, _PATH = "bytes", "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFiles:
    """Files of rows, and the column of their images."""

    store: Store
    keys: tuple[str, ...]
    """In the order of the items, relative to the store."""
    column: str
    pictures: tuple[str, ...]
    """Columns of masks and further images that are fields."""
    left_out: tuple[str, ...]
    """Further columns that hold images."""
    class_names: dict[str, tuple[str, ...]]
    """Names by id, by the column whose values are the ids."""


def find_row_files(spec: SourceSpec, store: Store, keys: Sequence[str]) -> RowFiles | None:
    """Return `keys` as files of images if the first of them has a column of images; None for a listing.

    Raises SourceError where it cannot be told which column it is, or the file cannot be read.
    """
    if not keys:
        return None
    with open_rows(store, keys[0]) as file:
        schema = file.schema
    features = _find_features(schema)
    column = _find_column(spec, schema, features)
    if column is None:
        return None
    pictures = _find_pictures(spec, schema)
    images = [field.name for field in schema if is_struct_of_bytes(field.type) or features.get(field.name) == "Image"]
    return RowFiles(
        store=store,
        keys=tuple(keys),
        column=column,
        pictures=pictures,
        left_out=tuple(name for name in images if name != column and name not in pictures),
        class_names=_find_class_names(schema),
    )


def _find_pictures(spec: SourceSpec, schema: pa.Schema) -> tuple[str, ...]:
    """Return the columns of images that are declared as fields."""
    wanted = {field.column for field in spec.fields if field.kind in PICTURES}
    return tuple(
        field.name
        for field in schema
        if field.name in wanted and (is_bytes(field.type) or is_struct_of_bytes(field.type))
    )


def is_row_file(key: str) -> bool:
    """Say whether a key names a file of rows, and no part of it is hidden."""
    parts = key.split("/")
    return key.lower().endswith(ROW_SUFFIXES) and not any(is_hidden(part) for part in parts)


class OpenRows:
    """An open file of rows."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.schema = schema
        self.batches = batches
        """Each row once, in order; may be read once."""


@contextmanager
def open_rows(store: Store, key: str) -> Iterator[OpenRows]:
    """Open a file of rows. Raises SourceError, also for its rows, where it is damaged."""
    try:
        with store.open(key) as stream:
            if key.lower().endswith(".parquet"):
                with pq.ParquetFile(stream) as file:
                    yield OpenRows(file.schema_arrow, file.iter_batches(_BATCH_ROWS))
            else:
                magic = stream.read(len(_ARROW_FILE))
                stream.seek(0)
                yield _open_arrow(stream, is_file=magic == _ARROW_FILE)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise SourceError(f"{store.uri}/{key}: {' '.join(str(error).split())}") from None


def _open_arrow(stream: Any, *, is_file: bool) -> OpenRows:
    if not is_file:
        reader = pa.ipc.open_stream(stream)
        return OpenRows(reader.schema, iter(reader))
    file = pa.ipc.open_file(stream)
    return OpenRows(file.schema, map(file.get_batch, range(file.num_record_batches)))


def _find_column(spec: SourceSpec, schema: pa.Schema, features: dict[str, str]) -> str | None:
    """Return the column of images: the one that is named, or declared, or of structs, or named as images are."""
    is_free = {name: name not in spec.field_columns for name in schema.names}
    can_be: list[str] = [
        field.name
        for field in schema
        if is_free[field.name] and (is_bytes(field.type) or is_struct_of_bytes(field.type))
    ]
    if spec.key_column is not None:
        return spec.key_column if spec.key_column in can_be else None
    declared = [name for name in can_be if features.get(name) == "Image"]
    if not declared and any(_is_path(field) for field in schema):
        return None
    for found in (
        declared,
        [name for name in can_be if is_struct_of_bytes(schema.field(name).type)],
        [name for name in can_be if name.lower() in IMAGE_COLUMNS],
    ):
        if len(found) > 1:
            raise SourceError(f"{spec.source}: the columns {quote(found)} hold images; name one with `key_column`")
        if found:
            return found[0]
    return None


def _is_path(field: pa.Field) -> bool:
    """Say whether a column is one that a listing has its paths in."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    return field.name.lower() in KEY_NAMES and (pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_struct_of_bytes(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind) or kind.get_field_index(_BYTES) < 0 or kind.get_field_index(_PATH) < 0:
        return False
    return is_bytes(kind.field(kind.get_field_index(_BYTES)).type)


def _load_features(schema: pa.Schema) -> dict[str, Any]:
    try:
        features = json.loads((schema.metadata or {}).get(_HUB, b"{}")).get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    return features if isinstance(features, dict) else {}


def _find_features(schema: pa.Schema) -> dict[str, str]:
    """Return the kinds that the Hub's metadata give to columns."""
    return {
        name: feature["_type"]
        for name, feature in _load_features(schema).items()
        if isinstance(feature, dict) and isinstance(feature.get("_type"), str)
    }


def _find_class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, feature in _load_features(schema).items():
        names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and all(isinstance(each, str) for each in names):
            found[name] = tuple(names)
    return found
