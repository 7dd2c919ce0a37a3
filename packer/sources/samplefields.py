"""From the fields of WebDataset samples to labels and columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.formats.features import RESERVED_FEATURES
from packer.sources.columns import build_extra
from packer.sources.fieldcolumns import PICTURES, build_fields
from packer.sources.fieldpictures import picture_columns
from packer.sources.image_names import quote
from packer.sources.items import ETAG, KEY, LABEL, NUM_BYTES, Listing, SourceSpec, build_items
from packer.sources.listing import build_listed_label, refuse_flat
from packer.sources.members import ARCHIVE, METHOD, OFFSET_BYTES, STORED, STORED_BYTES, FoundMember
from packer.sources.roles import find_roles
from packer.sources.tables import RawTable, TableKind
from packer.specs import FieldSource

_KEY = "_key"
FIELD_KINDS = _CLASS, _TEXT, _JSON = "cls", "txt", "json"
_IMAGE = ""
"""Stands for the kind of the images themselves, which no other member has."""
_NAME, _OFFSET_BYTES, _NUM_BYTES = "name", "offset_bytes", "num_bytes"
_PLACE = {_NAME: pa.large_string(), _OFFSET_BYTES: pa.int64(), _NUM_BYTES: pa.int64()}
"""What is known of a member: tar archives store every one as it is."""
_CLASS_ID = r"^[ \t\r\n]*-?[0-9]{1,18}[ \t\r\n]*$"
"""What Arrow reads as the same integer as Python."""


@dataclass(frozen=True, slots=True)
class ArchiveSamples:
    """The samples of an archive, as columns: as objects they would take ten times the memory."""

    archive: str
    """Its key."""
    etag: str
    """Its entity tag; empty where it has none."""
    rows: pa.Table
    """Of `sample_row`: one for each sample with an image."""


def sample_schema(pictures: Iterable[str]) -> pa.Schema:
    """Return the columns of samples: where an image lies, its fields, and where further pictures of some kinds lie."""
    places = [
        (_of(kind, name), arrow_type) for kind in (_IMAGE, *sorted(pictures)) for name, arrow_type in _PLACE.items()
    ]
    return pa.schema([*places, *((kind, pa.large_binary()) for kind in FIELD_KINDS)])


def sample_row(
    image: FoundMember, fields: Mapping[str, bytes], found: Mapping[str, FoundMember], pictures: Iterable[str]
) -> tuple[Any, ...]:
    """Return one sample as a row of `sample_schema`; null is what it does not have."""
    row: list[Any] = []
    for member in (image, *(found.get(kind) for kind in sorted(pictures))):
        row += [None] * len(_PLACE) if member is None else [member.name, member.offset_bytes, member.num_bytes]
    return *row, *(fields.get(kind) for kind in FIELD_KINDS)


def _of(kind: str, name: str) -> str:
    return f"{kind}:{name}"


def build_sample_listing(spec: SourceSpec, root: str, found: Sequence[ArchiveSamples]) -> Listing:
    """Return the items of some archives' samples.

    ``.cls`` is the label, a class id or a name, unless the spec names another column; ``.txt`` is the column `txt`;
    the names in ``.json`` are columns. Raises SourceError as for a listing.
    """
    refuse_flat(spec)
    samples = pa.concat_tables([archive.rows for archive in found]).combine_chunks()
    archives = _repeated([archive.archive for archive in found], found)
    keys = _keys(archives, samples, _IMAGE)
    table = _fields_table(samples, keys)
    own = sorted(RESERVED_FEATURES.intersection(table.column_names))
    table = table.drop_columns(own)
    notices = [f"columns {quote(own)} left out: names of the image's own features"] if own else []
    raw = RawTable(
        name=spec.source,
        kind=TableKind.PARQUET,
        files=tuple(archive.archive for archive in found),
        rows_per_file=tuple(archive.rows.num_rows for archive in found),
        table=table,
    )
    label_column = spec.label_column or (_CLASS if _CLASS in table.column_names else None)
    roles = find_roles(raw, replace(spec, key_column=_KEY, label_column=label_column))
    columns = {name: build_extra(raw, name) for name in roles.extras}
    label = build_listed_label(raw, roles.labels, spec)
    if label.values is not None:
        columns[LABEL] = label.values
    columns |= {KEY: table.column(_KEY), **_member_columns(archives, samples, _IMAGE)}
    if any(archive.etag and archive.rows.num_rows for archive in found):
        columns[ETAG] = _repeated([archive.etag for archive in found], found)
    built = build_fields(raw, spec, roles.extras)
    columns |= built.columns
    for field in spec.fields:
        if field.kind in PICTURES:
            columns |= _build_pictures(spec, field, archives, samples)
    return Listing(
        items=build_items(columns),
        label_kind=label.kind,
        class_names=label.class_names,
        root=root,
        notices=(*notices, *roles.notices, *label.notices),
        fields=built.fields,
    )


def _repeated(values: Sequence[str], found: Sequence[ArchiveSamples]) -> pa.ChunkedArray:
    """Return a value of each archive for each of its samples."""
    parts = [
        pa.repeat(pa.scalar(value, pa.large_string()), archive.rows.num_rows)
        for value, archive in zip(values, found, strict=True)
    ]
    return pa.chunked_array([pa.concat_arrays(parts)])


def _keys(archives: pa.ChunkedArray, samples: pa.Table, kind: str) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(archives, samples.column(_of(kind, _NAME)), pa.scalar("/", pa.large_string()))


def _build_pictures(
    spec: SourceSpec, field: FieldSource, archives: pa.ChunkedArray, samples: pa.Table
) -> dict[str, pa.ChunkedArray]:
    is_missing = samples.column(_of(field.column, _NAME)).is_null()
    missing = _keys(archives, samples, _IMAGE).filter(is_missing).to_pylist()
    if missing:
        raise SourceError(
            f"{spec.source}: expected a member .{field.column} beside each image, {len(missing):,} have none: "
            f"{quote(missing)}",
            field="field",
        )
    keys = _keys(archives, samples, field.column)
    return picture_columns(field, keys, _member_columns(archives, samples, field.column))


def _fields_table(samples: pa.Table, keys: pa.ChunkedArray) -> pa.Table:
    values = _json_values(samples.column(_JSON), keys)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for kind in (_TEXT, _CLASS):
        texts = samples.column(kind)
        if texts.null_count == len(texts):
            continue
        column = _decode_texts(texts, keys)
        if kind in values:
            own = zip(column.to_pylist(), values.pop(kind), strict=True)
            column = _to_arrow([other if text is None else text for text, other in own])
        columns[kind] = column
    for name in list(values):
        columns[name] = _to_arrow(values.pop(name))
    if _CLASS in columns:
        columns[_CLASS] = _class_values(columns[_CLASS])
    return pa.table({_KEY: keys, **columns})


def _json_values(contents: pa.ChunkedArray, keys: pa.ChunkedArray) -> dict[str, list[Any]]:
    """Return the values of each name in the samples' JSON, by row."""
    values: dict[str, list[Any]] = {}
    if contents.null_count == len(contents):
        return values
    for row, content in enumerate(contents):
        if not content.is_valid:
            continue
        try:
            parsed = json.loads(content.as_py())
        except (ValueError, RecursionError) as error:
            raise _unreadable(keys[row].as_py(), error) from None
        for name, value in (parsed if isinstance(parsed, dict) else {_JSON: parsed}).items():
            if name not in values:
                values[name] = [None] * len(contents)
            values[name][row] = value
    values.pop(_KEY, None)
    return values


def _decode_texts(contents: pa.ChunkedArray, keys: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return contents.cast(pa.large_string())
    except pa.ArrowInvalid:
        for row, content in enumerate(contents):
            try:
                (content.as_py() or b"").decode()
            except ValueError as error:
                raise _unreadable(keys[row].as_py(), error) from None
        raise


def _unreadable(key: str, error: Exception) -> SourceError:
    return SourceError(f"{key}: a field beside it cannot be read: {error}; mend it")


def _class_values(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return class ids as integers where all are, else names; what is no text as it is."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    if pc.all(pc.match_substring_regex(column, _CLASS_ID)).as_py():
        return pc.utf8_trim_whitespace(column).cast(pa.int64())
    stripped = [None if text is None else text.strip() for text in column.to_pylist()]
    try:
        return _to_arrow([None if text is None else int(text) for text in stripped])
    except ValueError:
        return _to_arrow(stripped)


def _to_arrow(values: list[Any]) -> pa.Array:
    """Return values as one type; what is nested, or of several types, as JSON text."""
    if not any(isinstance(value, dict) or (isinstance(value, list) and _is_nested(value)) for value in values):
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError):
            pass
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
        for value in values
    ]
    return pa.array(texts, pa.large_string())


def _is_nested(values: list[Any]) -> bool:
    return any(isinstance(value, dict | list) for value in values)


def _member_columns(archives: pa.ChunkedArray, samples: pa.Table, kind: str) -> dict[str, pa.ChunkedArray]:
    num_bytes = samples.column(_of(kind, _NUM_BYTES))
    return {
        NUM_BYTES: num_bytes,
        ARCHIVE: archives,
        OFFSET_BYTES: samples.column(_of(kind, _OFFSET_BYTES)),
        STORED_BYTES: num_bytes,
        METHOD: pa.chunked_array([pa.repeat(pa.scalar(STORED, pa.int64()), len(num_bytes))]),
    }
