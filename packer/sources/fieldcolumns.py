"""Fields beside the label: from the columns of a listing to those that an item has for them.

Boxes come as lists of four numbers, as one list of all their numbers, as JSON text of either, as a list of structs
{bbox, category}, or as a struct of lists {bbox, category}, as on the Hugging Face Hub.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from packer.errors import SourceError
from packer.sources.columns import build_extra
from packer.sources.items import SourceSpec
from packer.sources.roles import expect_column
from packer.sources.tables import RawTable
from packer.specs import FieldKind, FieldSource, FieldSpec

_PLACES = ("bbox", "boxes", "box", "points", "keypoints", "xy")
"""Names of the places in a struct, and of what stands beside them."""
_BESIDE = ("category", "category_id", "class", "label", "labels", "categories", "visible", "visibility")
PICTURES = (FieldKind.IMAGE, FieldKind.MASK)
_MAX_FLOAT32 = 3.4e38
_VISIBLE = 1


@dataclass(frozen=True, slots=True)
class FieldColumns:
    """The columns of fields. Columns of pictures are left out, since they depend on where the pictures lie."""

    columns: dict[str, pa.ChunkedArray]
    fields: tuple[FieldSpec, ...]
    """All that are declared."""


@dataclass(frozen=True, slots=True)
class BoxClasses:
    """The classes of boxes in all rows that are looked at."""

    have_names: bool
    """Some are text, so all are names."""
    texts: frozenset[str]
    """Each as text."""

    def join(self, other: BoxClasses) -> BoxClasses:
        """Return the classes of these rows and of others."""
        return BoxClasses(self.have_names or other.have_names, self.texts | other.texts)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names in the order of their ids, which is that of UTF-8 bytes; none where the rows have ids."""
        return tuple(sorted(self.texts, key=str.encode)) if self.have_names else ()


@dataclass(slots=True)
class _Groups:
    """Places of all rows, and what stands beside each of them."""

    numbers: array[float]
    ends: array[int]
    beside: list[Any]
    beside_ends: array[int]

    def find_classes(self) -> BoxClasses:
        have_names = any(isinstance(value, str) for value in self.beside)
        return BoxClasses(have_names, frozenset(map(str, self.beside)))


def find_box_classes(raw: RawTable, spec: SourceSpec) -> dict[str, BoxClasses]:
    """Return the classes of each field of boxes, by the field's name. Raises SourceError as `build_fields`."""
    return {field.name: _collect(raw, field).find_classes() for field in spec.fields if field.kind is FieldKind.BOXES}


def build_fields(
    raw: RawTable, spec: SourceSpec, taken: Sequence[str], *, classes: Mapping[str, BoxClasses] | None = None
) -> FieldColumns:
    """Return the columns of the declared fields, in the order of the rows.

    Args:
        raw: the listing, or some of its rows.
        spec: what is declared.
        taken: names of other columns of the items, which none of a field can have.
        classes: what `find_box_classes` found in all rows; None: `raw` has them all.

    Raises SourceError for a column that is not there, or values that are none of the kind, with the first few rows.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    fields: list[FieldSpec] = []
    for field in spec.fields:
        names: tuple[str, ...] = ()
        if field.kind is FieldKind.TEXT:
            expect_column(raw.table.column_names, field.column, "field")
            columns[field.name] = _build_text(raw, field)
        elif field.kind in (FieldKind.BOXES, FieldKind.POINTS):
            built, names = _build_places(raw, field, None if classes is None else classes.get(field.name))
            columns |= built
        fields.append(FieldSpec(name=field.name, kind=field.kind, class_names=names))
    clash = sorted(set(taken).intersection(name for field in fields for name in field.columns))
    if clash:
        raise SourceError(
            f"{raw.name}: the column {clash[0]!r} has the name of a field's; give the field another name", field="field"
        )
    return FieldColumns(columns, tuple(fields))


def _build_text(raw: RawTable, field: FieldSource) -> pa.ChunkedArray:
    column = build_extra(raw, field.column)
    kind = column.type.value_type if pa.types.is_large_list(column.type) else column.type
    if pa.types.is_large_string(kind):
        return column
    if pa.types.is_large_list(column.type):
        raise SourceError(f"{raw.name}: expected texts in column {field.column!r}, got {column.type}", field="field")
    return column.cast(pa.large_string())


def _build_places(
    raw: RawTable, field: FieldSource, classes: BoxClasses | None
) -> tuple[dict[str, pa.ChunkedArray], tuple[str, ...]]:
    """Return the columns of boxes or key points, and the names of the boxes' classes."""
    is_boxes = field.kind is FieldKind.BOXES
    groups = _collect(raw, field)
    spec = FieldSpec(name=field.name, kind=field.kind)
    names = (classes or groups.find_classes()).names if is_boxes else ()
    beside = _number(raw, field, groups, names) if is_boxes else _visibilities(raw, field, groups)
    places = pa.LargeListArray.from_arrays(
        pa.array(groups.ends, pa.int64()), pa.array(groups.numbers, pa.float64()).cast(pa.float32())
    )
    columns = {field.name: places, spec.class_column if is_boxes else spec.visible_column: beside}
    return {name: pa.chunked_array([column]) for name, column in columns.items()}, names


def _collect(raw: RawTable, field: FieldSource) -> _Groups:
    for name in (field.column, field.beside):
        if name:
            expect_column(raw.table.column_names, name, "field")
    groups = _Groups(array("d"), array("q", [0]), [], array("q", [0]))
    others = _values(raw, field.beside) if field.beside else None
    size = 4 if field.kind is FieldKind.BOXES else 2
    for row, value in enumerate(_values(raw, field.column)):
        try:
            numbers, beside = _take_apart(_parsed(value), size)
            if others is not None:
                beside = _listed(_parsed(next(others)))
            numbers = _check(numbers, field, size)
            if beside and len(beside) != len(numbers) // size:
                raise ValueError(f"{len(numbers) // size} places, and {len(beside)} values beside them")
        except (ValueError, TypeError, KeyError) as error:
            expected = "left, top, right, bottom" if size == 4 else "x, y"
            if field.is_xywh:
                expected = "left, top, width, height"
            raise SourceError(
                f"{raw.name}: expected {field.kind} as lists of {expected} in column {field.column!r}, got at "
                f"{raw.show([row])}: {error}; mend or remove it",
                field="field",
            ) from None
        groups.numbers.extend(numbers)
        groups.ends.append(len(groups.numbers))
        groups.beside.extend(beside)
        groups.beside_ends.append(len(groups.beside))
    return groups


def _values(raw: RawTable, name: str) -> Iterator[Any]:
    for chunk in raw.table.column(name).chunks:
        for value in chunk:
            yield value.as_py()


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.lstrip()[:1] in ("[", "{") else value


def _take_apart(value: Any, size: int) -> tuple[list[float], list[Any]]:
    """Return the numbers of one row's places, one after the other, and what stands beside each, if anything does."""
    if value is None or value == "":
        return [], []
    if isinstance(value, dict):
        places = next(value[name] for name in _PLACES if name in value) if set(_PLACES) & set(value) else None
        if places is None:
            raise ValueError(f"a struct of {', '.join(value)}, none of which is named {', '.join(_PLACES)}")
        beside = next((value[name] for name in _BESIDE if name in value), None)
        return _take_apart(places, size)[0], _listed(beside)
    if value and isinstance(value[0], dict):
        parts = [_take_apart(each, size) for each in value]
        return [number for part in parts for number in part[0]], [one for part in parts for one in part[1]]
    if value and isinstance(value[0], list | tuple):
        for each in value:
            if len(each) != size:
                raise ValueError(f"{len(each)} numbers instead of {size}")
        return [float(number) for each in value for number in each], []
    return [float(number) for number in value], []


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _check(numbers: list[float], field: FieldSource, size: int) -> list[float]:
    if len(numbers) % size:
        raise ValueError(f"{len(numbers)} numbers, which is no multiple of {size}")
    if not all(math.isfinite(number) and abs(number) <= _MAX_FLOAT32 for number in numbers):
        raise ValueError("a number that is not finite")
    if field.kind is not FieldKind.BOXES:
        return numbers
    if field.is_xywh:
        boxes = zip(*(numbers[start::4] for start in range(4)), strict=True)
        numbers = [number for x, y, wide, high in boxes for number in (x, y, x + wide, y + high)]
    for left, top, right, bottom in zip(*(numbers[start::4] for start in range(4)), strict=True):
        if right < left or bottom < top:
            raise ValueError(f"the box {left:g}, {top:g}, {right:g}, {bottom:g}, whose sides are less than none")
    return numbers


def _number(raw: RawTable, field: FieldSource, groups: _Groups, names: Sequence[str]) -> pa.Array:
    """Return the boxes' class ids, which are the places of their names where classes have names."""
    ids: list[Any] = groups.beside
    if names:
        number = {name: index for index, name in enumerate(names)}
        ids = [number[str(value)] for value in ids]
    return _ids(raw, field, ids, groups.beside_ends, lambda value: value >= 0)


def _visibilities(raw: RawTable, field: FieldSource, groups: _Groups) -> pa.Array:
    """Return what is visible of each point: all of a row's points where the row does not say."""
    values: list[Any] = []
    ends = array("q", [0])
    for row, (start, end) in enumerate(pairwise(groups.beside_ends)):
        num_points = (groups.ends[row + 1] - groups.ends[row]) // 2
        values.extend(groups.beside[start:end] or [_VISIBLE] * num_points)
        ends.append(len(values))
    return _ids(raw, field, values, ends, lambda value: value >= 0)


def _ids(
    raw: RawTable, field: FieldSource, values: list[Any], ends: array[int], is_fit: Callable[[int], bool]
) -> pa.Array:
    for value in values:
        if not isinstance(value, int) or not is_fit(value):
            raise SourceError(
                f"{raw.name}: expected whole numbers of at least 0, or names, beside the {field.kind} of column "
                f"{field.column!r}, got {value!r}; mend them",
                field="field",
            )
    return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(values, pa.int64()))
