"""`meta/near_duplicates.parquet`: groups of pictures that look alike, one item a row. There if they were sought.

group  key  label  split  distance

`group` counts groups from 0, by the first of their keys; rows are sorted by group and key. `label` is a text, null
without labels. `distance` is the number of bits, of 64, in which the item's perceptual hash differs from that of the
nearest other item of its group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from packer.dataset.planfile import PlanDocument, load_planned_near
from packer.dataset.recordstable import decode_records, encode_records, is_same_file
from packer.errors import DataSetError
from packer.planning.digest import table_digest
from packer.planning.layout import NEAR_KEY
from packer.shown_text import counted
from packer.stores.store import ObjectNotFoundError, Store

NEAR_SCHEMA = pa.schema(
    [
        pa.field("group", pa.int64()),
        pa.field("key", pa.large_string()),
        pa.field("label", pa.large_string()),
        pa.field("split", pa.large_string()),
        pa.field("distance", pa.int64()),
    ]
)
_DAMAGED = "restore it, or remove it: all but the list of near-duplicates is whole without it"


@dataclass(frozen=True, slots=True, kw_only=True)
class NearCounts:
    """How many pictures look alike."""

    num_groups: int = 0
    num_items: int = 0
    num_crossing: int = 0
    """Groups of which more than one split holds something."""


def near_digest(near: pa.Table) -> str:
    """Return the digest of a list, by which a plan knows its own."""
    return table_digest(near)


def planned_near(store: Store, document: PlanDocument) -> pa.Table | None:
    """Return the list that a plan was made with; None where none was sought. Raises DataSetError for another one."""
    if not document.near_sha256:
        return None
    near = load_planned_near(store, document).cast(NEAR_SCHEMA)
    if near_digest(near) != document.near_sha256:
        raise DataSetError(f"{store.uri}: the plan's list of near-duplicates is not the one that was made; pack anew")
    return near


def load_near(store: Store) -> pa.Table | None:
    """Return the list of a data set; None where there is none. Raises DataSetError for a damaged one."""
    name = f"{store.uri}/{NEAR_KEY}"
    try:
        table = decode_records(store.get(NEAR_KEY), name=name)
    except ObjectNotFoundError:
        return None
    if table.schema.types != NEAR_SCHEMA.types or table.schema.names != NEAR_SCHEMA.names:
        raise DataSetError(f"{name}: expected the columns {', '.join(NEAR_SCHEMA.names)}; {_DAMAGED}")
    return table


def put_near(dest: Store, document: PlanDocument) -> bool:
    """Write the list of a data set, if its plan has one; return whether it has."""
    near = planned_near(dest, document)
    if near is not None:
        dest.put(NEAR_KEY, [encode_records(near)])
    return near is not None


def near_faults(store: Store, document: PlanDocument) -> Iterator[str]:
    """Yield what is wrong with the list of a data set. Raises as `planned_near`."""
    expected = planned_near(store, document)
    if expected is None:
        return
    found = load_near(store)
    if found is None:
        yield f"{NEAR_KEY}: is missing, though near-duplicates were sought; restore it"
    elif found != expected or not is_same_file(found, store.get(NEAR_KEY)):
        yield f"{NEAR_KEY}: is not the list that the plan was made with; {_DAMAGED}"


def count_near(near: pa.Table) -> NearCounts:
    """Count the groups of a list."""
    splits: dict[int, set[str]] = {}
    for group, split in zip(near.column("group").to_pylist(), near.column("split").to_pylist(), strict=True):
        splits.setdefault(group, set()).add(split)
    num_crossing = sum(len(names) > 1 for names in splits.values())
    return NearCounts(num_groups=len(splits), num_items=near.num_rows, num_crossing=num_crossing)


def near_line(counts: NearCounts) -> str:
    """Return what a person should know of a list, in a line."""
    if not counts.num_groups:
        return "found no near-duplicates"
    crossing = f", {counts.num_crossing:,} of them in more than one split" if counts.num_crossing else ""
    groups = counted(counts.num_groups, "group")
    return f"{groups} of near-duplicates, {counts.num_items:,} images in all{crossing} (see {NEAR_KEY})"
