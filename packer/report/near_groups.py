"""Near-duplicates for the report: some groups with their pictures; groups that cross splits come first."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.manifest import Manifest
from packer.dataset.near_list import NearCounts, count_near, load_near
from packer.imaging.thumbnails import Thumbnail
from packer.report.contact_sheet import draw_rows
from packer.stores.store import Store

_MAX_GROUPS = 30
_MAX_MEMBERS = 4
"""Most pictures of a group. At 160 pixels on a side, all groups together add less than 1 MB to the page."""


class NearItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a group."""

    key: str
    split: str
    label: str
    """Label as text; empty without labels."""
    distance: int
    """Bits, out of 64, that differ from the nearest other item."""
    picture: Thumbnail | None
    """Picture of the item; None if it was not drawn."""


class NearFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The near-duplicates of a data set."""

    counts: NearCounts
    groups: tuple[tuple[NearItem, ...], ...]
    """The first groups, each with its first items."""
    sizes: tuple[int, ...]
    """Number of all items of each of `groups`."""


def read_near_facts(store: Store, manifest: Manifest, table: pa.Table) -> NearFacts | None:
    """Return the near-duplicates, with pictures of records in `table`; None if the data set has no list of them.

    Raises DataSetError for a damaged list, and OSError if the store fails.
    """
    near = load_near(store)
    if near is None:
        return None
    groups: dict[int, list[dict[str, object]]] = {}
    for row in near.to_pylist():
        groups.setdefault(row["group"], []).append(row)
    shown = sorted(groups.values(), key=lambda rows: len({row["split"] for row in rows}) == 1)[:_MAX_GROUPS]
    pictures = dict(_draw(store, manifest, table, [str(row["key"]) for rows in shown for row in rows[:_MAX_MEMBERS]]))
    return NearFacts(
        counts=count_near(near),
        groups=tuple(tuple(_item(row, pictures) for row in rows[:_MAX_MEMBERS]) for rows in shown),
        sizes=tuple(map(len, shown)),
    )


def _item(row: dict[str, object], pictures: dict[str, Thumbnail]) -> NearItem:
    key = str(row["key"])
    return NearItem(
        key=key,
        split=str(row["split"]),
        label=str(row["label"] or ""),
        distance=int(str(row["distance"])),
        picture=pictures.get(key),
    )


def _draw(store: Store, manifest: Manifest, table: pa.Table, keys: list[str]) -> Iterator[tuple[str, Thumbnail]]:
    items = table.filter(pc.invert(table.column("is_fill")))
    rows = items.filter(pc.is_in(items.column("key"), value_set=pa.array(keys, pa.string()))).to_pylist()
    for picture in draw_rows(store, manifest, rows):
        if picture is not None:
            yield picture.key, picture.thumbnail
