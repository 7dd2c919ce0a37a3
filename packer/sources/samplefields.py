"""From the fields of WebDataset samples to labels and columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from packer.errors import SourceError
from packer.formats.features import RESERVED_FEATURES
from packer.sources.columns import build_extra
from packer.sources.fieldcolumns import PICTURES, build_fields
from packer.sources.fieldpictures import picture_columns
from packer.sources.image_names import quote
from packer.sources.items import ETAG, KEY, LABEL, NUM_BYTES, Listing, SourceSpec, build_items
from packer.sources.listing import build_listed_label, refuse_flat
from packer.sources.members import ARCHIVE, METHOD, OFFSET_BYTES, STORED_BYTES, FoundMember
from packer.sources.roles import find_roles
from packer.sources.tables import RawTable, TableKind
from packer.specs import FieldSource

_KEY = "_key"
_CLASS, _TEXT, _JSON = "cls", "txt", "json"


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One sample: its image, the content of its other members by kind, and its archive's entity tag."""

    image: FoundMember
    fields: dict[str, bytes]
    etag: str
    pictures: dict[str, FoundMember]
    """Masks and further images, by kind."""


def build_sample_listing(
    spec: SourceSpec, root: str, archives: Sequence[str], rows: Sequence[Sequence[FieldRow]]
) -> Listing:
    """Return the items of some archives' samples, `rows` by archive.

    ``.cls`` is the label, a class id or a name, unless the spec names another column; ``.txt`` is the column `txt`;
    the names in ``.json`` are columns. Raises SourceError as for a listing.
    """
    refuse_flat(spec)
    flat = [(archive, row) for archive, found in zip(archives, rows, strict=True) for row in found]
    keys = [f"{archive}/{row.image.name}" for archive, row in flat]
    table = _fields_table(flat, keys)
    own = sorted(RESERVED_FEATURES.intersection(table.column_names))
    table = table.drop_columns(own)
    notices = [f"columns {quote(own)} left out: names of the image's own features"] if own else []
    raw = RawTable(
        name=spec.source,
        kind=TableKind.PARQUET,
        files=tuple(archives),
        rows_per_file=tuple(map(len, rows)),
        table=table,
    )
    label_column = spec.label_column or (_CLASS if _CLASS in table.column_names else None)
    roles = find_roles(raw, replace(spec, key_column=_KEY, label_column=label_column))
    columns = {name: build_extra(raw, name) for name in roles.extras}
    label = build_listed_label(raw, roles.labels, spec)
    if label.values is not None:
        columns[LABEL] = label.values
    columns |= {KEY: table.column(_KEY), **_member_columns([(archive, row.image) for archive, row in flat])}
    if any(row.etag for _, row in flat):
        columns[ETAG] = pa.chunked_array([pa.array([row.etag for _, row in flat], pa.large_string())])
    built = build_fields(raw, spec, roles.extras)
    columns |= built.columns
    for field in spec.fields:
        if field.kind in PICTURES:
            columns |= _build_pictures(spec, field, flat)
    return Listing(
        items=build_items(columns),
        label_kind=label.kind,
        class_names=label.class_names,
        root=root,
        notices=(*notices, *roles.notices, *label.notices),
        fields=built.fields,
    )


def _build_pictures(
    spec: SourceSpec, field: FieldSource, flat: Sequence[tuple[str, FieldRow]]
) -> dict[str, pa.ChunkedArray]:
    missing = [f"{archive}/{row.image.name}" for archive, row in flat if field.column not in row.pictures]
    if missing:
        raise SourceError(
            f"{spec.source}: expected a member .{field.column} beside each image, {len(missing):,} have none: "
            f"{quote(missing)}",
            field="field",
        )
    members = [(archive, row.pictures[field.column]) for archive, row in flat]
    keys = pa.array([f"{archive}/{member.name}" for archive, member in members], pa.large_string())
    return picture_columns(field, pa.chunked_array([keys]), _member_columns(members))


def _fields_table(flat: Sequence[tuple[str, FieldRow]], keys: list[str]) -> pa.Table:
    values: dict[str, list[Any]] = {}
    for index, (archive, row) in enumerate(flat):
        for name, value in _decode(f"{archive}/{row.image.name}", row.fields).items():
            column = values.setdefault(name, [None] * len(flat))
            column[index] = value
    if _CLASS in values:
        values[_CLASS] = _class_values(values[_CLASS])
    columns = {name: _to_arrow(column) for name, column in values.items()}
    return pa.table({_KEY: pa.array(keys, pa.large_string()), **columns})


def _decode(where: str, fields: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        if _JSON in fields:
            content = json.loads(fields[_JSON])
            found |= content if isinstance(content, dict) else {_JSON: content}
        for kind in (_TEXT, _CLASS):
            if kind in fields:
                found[kind] = fields[kind].decode()
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: a field beside it cannot be read: {error}; mend it") from None
    return {name: value for name, value in found.items() if name != _KEY}


def _class_values(texts: list[str | None]) -> list[Any]:
    """Return class ids as integers where all are, else names."""
    stripped = [None if text is None else text.strip() for text in texts]
    try:
        return [None if text is None else int(text) for text in stripped]
    except ValueError:
        return stripped


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


def _member_columns(flat: Sequence[tuple[str, FoundMember]]) -> dict[str, pa.ChunkedArray]:
    members = [member for _, member in flat]
    columns = {
        NUM_BYTES: pa.array([member.num_bytes for member in members], pa.int64()),
        ARCHIVE: pa.array([archive for archive, _ in flat], pa.large_string()),
        OFFSET_BYTES: pa.array([member.offset_bytes for member in members], pa.int64()),
        STORED_BYTES: pa.array([member.stored_bytes for member in members], pa.int64()),
        METHOD: pa.array([member.method for member in members], pa.int64()),
    }
    return {name: pa.chunked_array([column]) for name, column in columns.items()}
