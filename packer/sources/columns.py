"""Labels and extra columns of a listing, brought to the few types that an item has. Pure: no files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.sources.items import LabelKind
from packer.sources.tables import NUM_EXAMPLES, RawTable, TableKind

_types = pa.types
_NUMBER = r"^-?((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
_MAX_CLASS_ID = 2**31 - 1
"""Trainers hold class ids in 32 bits, and a model has an output for each."""
_TOO_LARGE = "a number beyond 32-bit floats, as which shards hold numbers,"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledColumn:
    """A label column as `Listing` states it; None with LabelKind.NONE."""

    kind: LabelKind
    values: pa.ChunkedArray | None = None
    class_names: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    """What a user might not expect of them, in plain sentences."""


def build_label(raw: RawTable, name: str, *, has_class_map: bool = False) -> LabelledColumn:
    """Return the column `name` as labels, in the order of the rows.

    Text becomes classes, with ids by the order of the names as UTF-8 bytes; integers are ids as they stand; a float is
    a vector of one; a list is a vector. Without any value there are no labels.

    In CSV, where everything is text, whitespace around a label does not count, and a label of nothing else is missing.
    There numbers beside names are refused: one name among ids would make names of them all, and number them anew by
    their order as text. With a class map all are names, since it has the ids.

    Raises:
        SourceError: a label that is missing, negative, not finite, of another length, or of another kind than the
            others, with the first few lines.
    """
    column = _load_column(raw, name, is_label=True)
    if column.null_count == len(column):
        return LabelledColumn(kind=LabelKind.NONE)
    _refuse_rows(raw, name, pc.is_null(column), "no label")
    if _types.is_large_string(column.type):
        if raw.kind is TableKind.CSV and not has_class_map:
            _refuse_mixed(raw, name, column)
        return _build_named(column)
    if _types.is_int64(column.type):
        _refuse_rows(raw, name, pc.less(column, 0), "a negative class id")
        _refuse_rows(raw, name, pc.greater(column, _MAX_CLASS_ID), f"a class id above {_MAX_CLASS_ID:,}")
        return LabelledColumn(kind=LabelKind.CLASS, values=column)
    if _types.is_float64(column.type):
        offsets = pa.array(range(len(column) + 1), pa.int64())
        column = pa.chunked_array([pa.LargeListArray.from_arrays(offsets, column.combine_chunks())])
    if _types.is_large_list(column.type) and not _types.is_large_string(column.type.value_type):
        return LabelledColumn(kind=LabelKind.FLOATS, values=_build_vectors(raw, name, column))
    raise SourceError(
        f"{raw.name}: label column {name!r} holds {raw.table.column(name).type}; "
        "expected text, integers, floats, or lists of numbers"
    )


def build_vector_label(raw: RawTable, names: Sequence[str]) -> LabelledColumn:
    """Return several columns of numbers as one vector a row, in the order of `names`.

    Raises:
        SourceError: a column that is not of numbers, or a value that is missing or not finite, with its lines.
    """
    columns = []
    for name in names:
        column = _load_column(raw, name)
        if not (_types.is_int64(column.type) or _types.is_float64(column.type)):
            raise SourceError(
                f"{raw.name}: label column {name!r} holds {raw.table.column(name).type}; expected numbers, since "
                f"`label_column` names several"
            )
        _refuse_rows(raw, name, pc.is_null(column), "no label")
        columns.append(column.to_numpy().astype(np.float64))
    values = np.stack(columns, axis=1).reshape(-1)
    offsets = np.arange(0, len(values) + 1, len(names), dtype=np.int64)
    vectors = pa.chunked_array([pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))])
    return LabelledColumn(kind=LabelKind.FLOATS, values=_build_vectors(raw, ",".join(names), vectors))


def build_extra(raw: RawTable, name: str) -> pa.ChunkedArray:
    """Return the column `name` as int64, float64, large_string, large_binary, or large_list of the first three.

    Dates and times become text, and anything nested deeper becomes JSON text. Raises SourceError for an integer beyond
    64 bits with sign, a finite number beyond 32-bit floats, which shards hold, or a list with a null in it.
    """
    column = _load_column(raw, name)
    if _types.is_large_list(column.type):
        _refuse_rows(raw, name, _find_rows(column.combine_chunks(), pc.is_valid), "a list with a missing element")
        if _types.is_float64(column.type.value_type):
            _refuse_rows(raw, name, _find_rows(column.combine_chunks(), _fits_float32), _TOO_LARGE)
    elif _types.is_float64(column.type):
        _refuse_rows(raw, name, pc.invert(_fits_float32(column)), _TOO_LARGE)
    return column


def _fits_float32(numbers: Any) -> Any:
    narrowed = numbers.cast(pa.float32(), safe=False)
    return pc.or_(pc.is_finite(narrowed), pc.invert(pc.is_finite(numbers)))


def _load_column(raw: RawTable, name: str, *, is_label: bool = False) -> pa.ChunkedArray:
    """Return a column in plain types; of CSV, `true` is a name in labels of classes, and 1 in numbers."""
    column = raw.table.column(name)
    try:
        if raw.kind is TableKind.CSV:
            return _parse_text(_trim(column) if is_label else column, with_booleans=not is_label)
        return _cast_plain(column)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise SourceError(f"{raw.name}: column {name!r} holds {column.type}: {error}") from None


def _trim(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text without whitespace at its ends, and null for nothing but whitespace."""
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)


def _parse_text(column: pa.ChunkedArray, *, with_booleans: bool) -> pa.ChunkedArray:
    """Return text as the narrowest of int64 and float64 that loses nothing, else as it is.

    ``007`` and ``0x10`` stay text, as do integers beyond 64 bits: they are names rather than numbers.
    """
    if column.null_count == len(column):
        return column
    text = pc.utf8_trim_whitespace(column)
    whole = _try_cast(text, pa.int64())
    if whole is not None and pc.all(pc.equal(whole.cast(pa.large_string()), text)).as_py():
        return whole
    if with_booleans and whole is None:
        flags = _try_cast(text, pa.bool_())
        if flags is not None:
            return flags.cast(pa.int64())
    numbers = _try_cast(text, pa.float64())
    names = pc.match_substring_regex(text, r"^[+-]?(0\d+|\d{17,})$")
    if numbers is None or pc.any(names).as_py():
        return column
    return numbers


def _try_cast(column: pa.ChunkedArray, kind: Any) -> pa.ChunkedArray | None:
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return None


def _cast_plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = _find_plain_kind(column.type)
    return _encode_json(column) if kind is None else column.cast(kind)


def _find_plain_kind(kind: Any) -> Any:
    """Return the plain type that holds values of an Arrow type, or None where only JSON text can."""
    if _types.is_boolean(kind) or _types.is_integer(kind):
        return pa.int64()
    if _types.is_floating(kind) or _types.is_decimal(kind):
        return pa.float64()
    if _types.is_string(kind) or _types.is_large_string(kind) or _types.is_temporal(kind) or _types.is_null(kind):
        return pa.large_string()
    if _types.is_binary(kind) or _types.is_large_binary(kind) or _types.is_fixed_size_binary(kind):
        return pa.large_binary()
    if _types.is_dictionary(kind):
        return _find_plain_kind(kind.value_type)
    if _types.is_list(kind) or _types.is_large_list(kind) or _types.is_fixed_size_list(kind):
        value_kind = _find_plain_kind(kind.value_type)
        nested = value_kind is None or _types.is_large_list(value_kind) or _types.is_large_binary(value_kind)
        return None if nested else pa.large_list(value_kind)
    return None


def _encode_json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = [
        None if value is None else msgspec.json.encode(value, order="sorted").decode() for value in column.to_pylist()
    ]
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def _refuse_mixed(raw: RawTable, name: str, column: pa.ChunkedArray) -> None:
    """Raise SourceError where some labels are numbers and others are not, unless all are numerals of one length.

    Those are such as ``08`` and ``12``, whose order as text is that of the numbers.
    """
    is_number = pc.match_substring_regex(column, _NUMBER)
    num_numbers, num_names = pc.sum(is_number).as_py(), pc.sum(pc.invert(is_number)).as_py()
    lengths = pc.min_max(pc.utf8_length(column)).as_py()
    is_padded = lengths["min"] == lengths["max"] and pc.all(pc.match_substring_regex(column, r"^\d+$")).as_py()
    if not num_numbers or not num_names or is_padded:
        return
    odd = is_number if num_numbers < num_names else pc.invert(is_number)
    rows = pc.indices_nonzero(odd).to_pylist()
    raise SourceError(
        f"{raw.name}: expected numbers or names in column {name!r}, got {num_numbers:,} of those and {num_names:,} of "
        f"these: {raw.show(rows, column.filter(odd).slice(0, NUM_EXAMPLES).to_pylist())}; mend or remove these rows, "
        "or, if all are names, give the ids of the names with `class_map`"
    )


def _build_named(column: pa.ChunkedArray) -> LabelledColumn:
    unique = pc.unique(column)
    names = unique.take(pc.sort_indices(unique))
    ids = pc.index_in(column, value_set=names).cast(pa.int64())
    return LabelledColumn(kind=LabelKind.CLASS, values=ids, class_names=tuple(names.to_pylist()))


def _build_vectors(raw: RawTable, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    vectors = column.combine_chunks().cast(pa.large_list(pa.float32()), safe=False)
    lengths = pc.list_value_length(vectors)
    _refuse_rows(raw, name, pc.equal(lengths, 0), "an empty list")
    expected = lengths[0].as_py()
    _refuse_rows(
        raw, name, pc.not_equal(lengths, expected), f"a number of floats other than the {expected} of the first row"
    )
    _refuse_rows(raw, name, _find_rows(vectors, pc.is_finite), "a label that is not a finite 32-bit float")
    return pa.chunked_array([vectors])


def _find_rows(lists: pa.Array, test: Callable[[Any], Any]) -> pa.Array:
    """Return a mask of the rows with an element that is null or fails `test`, which maps values to booleans."""
    passed = pc.fill_null(test(pc.list_flatten(lists)), False)
    failed = pc.list_parent_indices(lists).filter(pc.invert(passed))
    return pc.is_in(pa.array(range(len(lists)), pa.int64()), value_set=pc.unique(failed))


def _refuse_rows(raw: RawTable, name: str, mask: Any, problem: str) -> None:
    rows = pc.indices_nonzero(mask).to_pylist()
    if rows:
        raise SourceError(
            f"{raw.name}: {problem} in column {name!r} of {len(rows):,} of {len(mask):,} rows: {raw.show(rows)}; "
            "mend or remove them"
        )
