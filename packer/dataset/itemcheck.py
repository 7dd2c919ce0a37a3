"""Do items fit a container? What its records, and the files beside them, cannot hold is told before any is written."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import OptionsError
from packer.formats.registry import get_format
from packer.planning.reordered import Reordered
from packer.specs import FieldSpec, FormatName


def _first_not_finite(items: pa.Table | Reordered) -> tuple[str, str] | None:
    """Return column and key of a number that is no number or infinite, in a column of numbers or of lists of them."""
    for name in items.column_names:
        column = items.column(name).combine_chunks()
        rows = None
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            rows, column = pc.list_parent_indices(column), pc.list_flatten(column)
        if not pa.types.is_floating(column.type):
            continue
        unfit = pc.indices_nonzero(pc.invert(pc.is_finite(column)))
        if len(unfit):
            row = unfit[0].as_py() if rows is None else rows[unfit[0].as_py()].as_py()
            return name, items.column("key")[row].as_py()
    return None


def check_fields(fields: Sequence[FieldSpec], container: FormatName) -> None:
    """Raise OptionsError for a field that a container has no room for."""
    taken = get_format(container).limits.taken_names
    _check_names([spec.name for spec in fields], taken, f"`format={container}`: the field")
    for spec in fields:
        if spec.is_picture and not get_format(container).holds_pictures:
            raise OptionsError(
                f"`format={container}`: expected no masks and no further images, got the field {spec.name!r}; leave it "
                "out, or use `format=tfrecord`, webdataset or parquet"
            )


def _check_names(names: Sequence[str], taken: frozenset[str], what: str) -> None:
    unfit = sorted(taken.intersection(names))
    if unfit:
        raise OptionsError(
            f"{what} {', '.join(unfit)}: expected other names than those that each record has "
            f"({', '.join(sorted(taken))}); rename it"
        )


def check_items(items: pa.Table | Reordered, container: FormatName) -> None:
    """Check keys, class ids and numbers against the limits of a container.

    Raises:
        OptionsError: some do not fit; the text has their number and the first in the order of the table.
    """
    limits = get_format(container).limits
    own = {"key", "label"}
    _check_names(
        [name for name in items.column_names if name not in own],
        limits.taken_names,
        f"`format={container}`: the column",
    )
    num_items = items.num_rows
    if limits.unfit_key:
        keys = items.column("key")
        unfit = pc.match_substring_regex(keys, limits.unfit_key)
        if num_unfit := pc.sum(unfit).as_py():
            raise OptionsError(
                f"`format={container}`: {num_unfit:,} of {num_items:,} keys do not fit, the first is "
                f"{keys.filter(unfit)[0].as_py()!r}: {limits.key_rule}"
            )
    has_classes = "label" in items.column_names and pa.types.is_integer(items.schema.field("label").type)
    if limits.class_ids is not None and has_classes:
        labels = items.column("label")
        unfit = pc.or_(pc.less(labels, limits.class_ids.start), pc.greater_equal(labels, limits.class_ids.stop))
        if num_unfit := pc.sum(unfit).as_py():
            raise OptionsError(
                f"`format={container}`: {num_unfit:,} of {num_items:,} items have a class id that does not fit, the "
                f"first is {labels.filter(unfit)[0].as_py()} of {items.column('key').filter(unfit)[0].as_py()}: "
                f"{limits.class_rule}"
            )
    if limits.finite_rule and (found := _first_not_finite(items)) is not None:
        column, key = found
        raise OptionsError(
            f"`format={container}`: the column {column!r} has numbers that are not finite, the first in the row of "
            f"{key}: {limits.finite_rule}"
        )
