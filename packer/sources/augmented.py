"""What is special in a SageMaker augmented manifest: JSON Lines whose paths stand under names ending in ``-ref``.

    {"source-ref": "s3://bucket/a.jpg", "animal": 0, "animal-metadata": {"class-name": "cat", "type": ...}}

Ground Truth writes beside each of its labels an object of metadata, which says the class's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.sources.image_names import quote
from packer.sources.tables import RawTable, TableKind

_SOURCE = "source-ref"
_REFERENCE = "-ref"
_METADATA = "-metadata"
_CLASS_NAME = "class-name"
MAX_NAMED_ID = 1_000_000
"""Names are kept by id, so an id costs memory however few there are."""


def find_references(raw: RawTable) -> list[str]:
    """Return the columns that hold paths in an augmented manifest; empty for another kind of listing."""
    names = raw.table.column_names if raw.kind is TableKind.JSON else []
    return [name for name in names if name.endswith(_REFERENCE)]


def find_reference(raw: RawTable) -> str | None:
    """Return the column of an augmented manifest's images: `source-ref`, or the only one that ends in ``-ref``.

    None for another kind of listing. Raises SourceError where several could be meant.
    """
    found = find_references(raw)
    if _SOURCE in found:
        return _SOURCE
    if len(found) > 1:
        raise SourceError(f"{raw.name}: the columns {quote(found)} look like references; name one with `key_column`")
    return found[0] if found else None


def find_metadata(raw: RawTable) -> tuple[str, ...]:
    """Return the columns of an augmented manifest that hold Ground Truth's metadata of another column."""
    names = raw.table.column_names if find_references(raw) else []
    return tuple(
        name
        for name in names
        if name.endswith(_METADATA)
        and name.removesuffix(_METADATA) in names
        and pa.types.is_struct(raw.table.column(name).type)
    )


def find_labelled(metadata: Sequence[str]) -> list[str]:
    """Return the labels that `metadata` describe; what ends in ``-ref`` is another file, such as a mask."""
    described = [name.removesuffix(_METADATA) for name in metadata]
    return [name for name in described if not name.endswith(_REFERENCE)]


def build_class_names(raw: RawTable, label: str, ids: Any) -> tuple[str, ...]:
    """Return the names that the metadata of the column `label` gives to its integer `ids`; empty where it gives none.

    An id without a name has an empty one.

    Raises:
        SourceError: an id with two names, two ids with one name, or a named id above 1,000,000.
    """
    metadata = label + _METADATA
    if metadata not in find_metadata(raw):
        return ()
    column = raw.table.column(metadata)
    if column.type.get_field_index(_CLASS_NAME) < 0:
        return ()
    names = pa.chunked_array([pc.struct_field(chunk, _CLASS_NAME) for chunk in column.chunks])
    if not pa.types.is_string(names.type):
        return ()
    pairs = pa.table({"id": ids, "name": names}).group_by(["id", "name"]).aggregate([]).drop_null()
    return _order_names(raw, metadata, dict.fromkeys(zip(*(c.to_pylist() for c in pairs.columns), strict=True)))


def _order_names(raw: RawTable, metadata: str, pairs: dict[tuple[int, str], None]) -> tuple[str, ...]:
    by_id: dict[int, str] = {}
    by_name: dict[str, int] = {}
    for class_id, name in sorted(pairs):
        known = by_id.setdefault(class_id, name), by_name.setdefault(name, class_id)
        if known != (name, class_id):
            raise SourceError(
                f"{raw.name}: {metadata!r} calls class {class_id} {name!r}, but also class {class_id} {known[0]!r} and "
                f"class {known[1]} {name!r}; expected one name for each id, or leave the metadata out"
            )
    if by_id and max(by_id) > MAX_NAMED_ID:
        raise SourceError(f"{raw.name}: expected ids of named classes up to {MAX_NAMED_ID:,}, got {max(by_id)}")
    return tuple(by_id.get(index, "") for index in range(max(by_id, default=-1) + 1))
