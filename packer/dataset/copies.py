"""`meta/duplicates.parquet`: the sets of exact copies of a data set, one a row, by digest. There only if any are.

source_sha256 (32 bytes)  kept_key  other_keys  labels  splits

Labels and splits are lists of texts: of the kept item, where there is one, and then of the others in their order. A
label is null without labels, a split is null for an item that `dedupe=True` left out. Without it all items are packed,
and the kept one is the first by its key.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.duplicates import repeated_digests
from packer.dataset.planfile import PlanDocument, load_planned_copies
from packer.dataset.recordstable import decode_records, encode_records, is_same_file
from packer.errors import DataSetError
from packer.planning.layout import COPIES_KEY
from packer.shown_text import counted
from packer.stores.readahead import read_in_order
from packer.stores.store import ObjectNotFoundError, Store

_TEXTS = pa.list_(pa.large_string())
COPIES_SCHEMA = pa.schema(
    [
        pa.field("source_sha256", pa.binary(32)),
        pa.field("kept_key", pa.large_string()),
        pa.field("other_keys", _TEXTS),
        pa.field("labels", _TEXTS),
        pa.field("splits", _TEXTS),
    ]
)
_DAMAGED = "restore it, or remove it: all but the list of copies is whole without it"


class CopiedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One of several items whose source files have the same bytes."""

    source_sha256: bytes
    key: str
    label: str | None
    """As text; None without labels."""
    split: str | None
    """None where the item is not packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCounts:
    """How many sets of exact copies there are."""

    num_sets: int = 0
    num_conflicts: int = 0
    """Sets whose labels differ."""
    num_crossing: int = 0
    """Sets of which more than one split holds something."""


NO_COPIES = CopyCounts()


def label_texts(table: pa.Table) -> pa.Array | pa.ChunkedArray:
    """Return the labels of a table as texts, of which equal ones are of equal labels; nulls without labels."""
    if "label" not in table.column_names:
        return pa.nulls(table.num_rows, pa.large_string())
    label = table.column("label")
    if pa.types.is_integer(label.type):
        return label.cast(pa.large_string())
    texts = [None if value is None else " ".join(str(np.float32(x)) for x in value) for value in label.to_pylist()]
    return pa.array(texts, pa.large_string())


def build_copies(items: Sequence[CopiedItem]) -> pa.Table:
    """Return the table of the sets that items with equal bytes make; an item without such another is left out."""
    ordered = sorted(items, key=lambda item: (item.source_sha256, item.split is None, item.key))
    sets = (list(members) for _, members in itertools.groupby(ordered, key=operator.attrgetter("source_sha256")))
    return pa.Table.from_pylist([_row(members) for members in sets if len(members) > 1], schema=COPIES_SCHEMA)


def _row(members: Sequence[CopiedItem]) -> dict[str, Any]:
    keys = [member.key for member in members]
    is_kept = members[0].split is not None
    return {
        "source_sha256": members[0].source_sha256,
        "kept_key": keys[0] if is_kept else None,
        "other_keys": keys[1:] if is_kept else keys,
        "labels": [member.label for member in members],
        "splits": [member.split for member in members],
    }


def find_copies(dest: Store, records_keys: Sequence[str], *, num_items: int) -> pa.Table:
    """Return the sets of exact copies among the packed items of a data set.

    Beside what `count_duplicates` takes, all copies are held in memory. Raises as that does.
    """
    repeated = repeated_digests(dest, records_keys, num_items=num_items)
    if not len(repeated):
        return COPIES_SCHEMA.empty_table()
    tables = read_in_order(dest, records_keys, lambda key: list(_packed_copies(dest, key, repeated)))
    return build_copies([item for items in tables for item in items])


def _packed_copies(dest: Store, key: str, repeated: pa.Array) -> Iterator[CopiedItem]:
    """Yield the items of a table whose digests are some of those, or, rarely, begin as one of them does."""
    name = f"{dest.uri}/{key}"
    table = decode_records(dest.view(key), name=name)
    table = table.filter(pc.invert(table.column("is_fill")))
    begins = pc.binary_slice(table.column("source_sha256").cast(pa.binary()), 0, 16)
    table = table.filter(pc.is_in(begins, value_set=repeated))
    split = key.split("/")[2]
    columns = (
        table.column("source_sha256").to_pylist(),
        table.column("key").to_pylist(),
        label_texts(table).to_pylist(),
    )
    for digest, item_key, label in zip(*columns, strict=True):
        yield CopiedItem(source_sha256=digest, key=item_key, label=label, split=split)


def copies_digest(copies: pa.Table) -> str:
    """Return the sha256, as hex digits, of the sets of copies that a plan was made without."""
    return hashlib.sha256(msgspec.json.encode(copies.to_pylist(), order="sorted")).hexdigest()


def left_out(copies: pa.Table) -> pa.Table:
    """Return the sets of copies from which ``dedupe=True`` left items out."""
    return copies.filter(pa.array([None in splits for splits in copies.column("splits").to_pylist()], pa.bool_()))


def all_copies(dest: Store, document: PlanDocument, found: pa.Table) -> pa.Table:
    """Return the sets that a plan left items out of, and those that were found among the packed ones, by digest.

    Raises DataSetError where the plan's are not those that it was made with.
    """
    if document.copies_sha256 is msgspec.UNSET:
        return found
    planned = load_planned_copies(dest, document).cast(COPIES_SCHEMA)
    if copies_digest(planned) != document.copies_sha256:
        raise DataSetError(f"{dest.uri}: the plan's list of copies is not the one that was made; pack anew")
    return pa.concat_tables([planned, found]).sort_by("source_sha256")


def load_copies(store: Store) -> pa.Table:
    """Return the table of a data set; an empty one where there is none. Raises DataSetError for a damaged one."""
    name = f"{store.uri}/{COPIES_KEY}"
    try:
        data = store.get(COPIES_KEY)
    except ObjectNotFoundError:
        return COPIES_SCHEMA.empty_table()
    table = decode_records(data, name=name)
    if table.schema.types != COPIES_SCHEMA.types or table.schema.names != COPIES_SCHEMA.names:
        raise DataSetError(f"{name}: expected the columns {', '.join(COPIES_SCHEMA.names)}; {_DAMAGED}")
    return table


def encode_copies(copies: pa.Table) -> bytes:
    """Return the table as a file."""
    return encode_records(copies)


def copies_faults(store: Store, document: PlanDocument, found: pa.Table) -> Iterator[str]:
    """Yield what is wrong with the file, where `found` are the sets among the packed items.

    Release 0.1.0 wrote none, nor a digest into its plans.
    """
    expected = all_copies(store, document, found)
    try:
        data = store.get(COPIES_KEY)
    except ObjectNotFoundError:
        if expected.num_rows and document.digest is not msgspec.UNSET:
            yield f"{COPIES_KEY}: is missing, though there are exact copies; {_DAMAGED.partition(',')[0]}"
        return
    if load_copies(store) != expected or not is_same_file(expected, data):
        yield f"{COPIES_KEY}: does not hold the sets of copies that the tables of records and the plan have; {_DAMAGED}"


def count_copies(copies: pa.Table) -> CopyCounts:
    """Count the sets of a table."""
    labels, splits = (copies.column(name).to_pylist() for name in ("labels", "splits"))
    return CopyCounts(
        num_sets=copies.num_rows,
        num_conflicts=sum(map(has_several, labels)),
        num_crossing=sum(map(has_several, splits)),
    )


def has_several(values: Sequence[str | None]) -> bool:
    """Say whether the labels of a set differ, or whether several splits hold something of it."""
    return len({value for value in values if value is not None}) > 1


def copy_notices(counts: CopyCounts) -> Iterator[str]:
    """Yield what a person should know of copies before training."""
    if counts.num_conflicts:
        yield (
            f"{counted(counts.num_conflicts, 'set')} of exact copies with different labels: see {COPIES_KEY}; mend the "
            f"labels, or pack with `dedupe=True`, which lets `on_conflict` say what becomes of them"
        )
    if counts.num_crossing:
        yield (
            f"{counted(counts.num_crossing, 'set')} of exact copies in more than one split, so that evaluation sees "
            f"what training saw: see {COPIES_KEY}; `dedupe=True` packs one of each"
        )
