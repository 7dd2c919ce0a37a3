"""Pictures for the report: records as a network will see them, and source files that were rejected."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.manifest import Manifest
from packer.dataset.shardcheck import manifest_shards
from packer.dataset.sidefiles import load_places
from packer.errors import PackerError
from packer.formats.container import RecordPlaces
from packer.formats.registry import get_format
from packer.imaging.thumbnails import Thumbnail, make_partial_thumbnail, make_thumbnail
from packer.stores.readahead import read_in_order
from packer.stores.store import Store

SIDE_PX = 160
_MAX_PICTURES = 360
_MAX_JPEG_BYTES = 2_400_000
"""Of all pictures together, so that the page stays below 5 MB."""
_PER_CLASS = 8


class SheetPicture(msgspec.Struct, frozen=True, kw_only=True):
    """One record's picture."""

    key: str
    split: str
    label_text: str
    """Class id or vector as text; empty without a label."""
    source_num_bytes: int
    num_bytes: int
    """Size of the record."""
    thumbnail: Thumbnail


def draw_contact_sheet(store: Store, manifest: Manifest, table: pa.Table) -> tuple[SheetPicture, ...]:
    """Decode some records of each class and split from the shards.

    Args:
        store: the data set.
        manifest: its manifest.
        table: its records, as `RecordFacts.table` has them.

    Returns:
        At most `_MAX_PICTURES` pictures, `_PER_CLASS` of a class in a split, sorted by split and class.

    Raises OSError where the store fails.
    """
    rows = choose_rows(table)
    reader = get_format(manifest.format)

    entries = {entry.key: (split, entry) for split, entry in manifest_shards(manifest)}

    @functools.lru_cache(maxsize=_MAX_PICTURES)
    def places_in(shard: str) -> RecordPlaces:
        return load_places(store, reader, *entries[shard])

    def draw(row: dict[str, object]) -> SheetPicture | None:
        name, position = str(row["shard"]), int(str(row["position"]))
        try:
            places = places_in(name)
            record, *pictures = (store.get_range(name, at, at + size) for at, size in places.spans_of(position))
            sample = reader.decode_record(record, pictures=dict(zip(places.pictures, pictures, strict=True)), name=name)
        except PackerError:
            return None  # `verify` says what is wrong with it
        thumbnail = make_thumbnail(sample.encoded, side_px=SIDE_PX)
        if thumbnail is None:
            return None
        return SheetPicture(
            key=str(row["key"]),
            split=str(row["split"]),
            label_text=str(row["label_text"] or ""),
            source_num_bytes=int(str(row["source_num_bytes"])),
            num_bytes=int(str(row["num_bytes"])),
            thumbnail=thumbnail,
        )

    return tuple(_within_budget(read_in_order(store, rows, draw)))


def choose_rows(table: pa.Table) -> list[dict[str, object]]:
    """Return rows of items to draw: the first ones of each class and split, fewer of each where there are many."""
    items = table.filter(pc.invert(table.column("is_fill")))
    chosen: dict[tuple[str, str], list[int]] = {}
    splits = items.column("split").cast(pa.string()).to_pylist()
    labels = items.column("label_text").to_pylist()
    for index, group in enumerate(zip(splits, labels, strict=True)):
        taken = chosen.setdefault((group[0], group[1] or ""), [])
        if len(taken) < _PER_CLASS:
            taken.append(index)
    rows: list[int] = []
    for depth in range(_PER_CLASS):  # one of every class before a second one of any
        rows += [taken[depth] for _, taken in sorted(chosen.items(), key=_by_split_and_class) if depth < len(taken)]
    picked: list[dict[str, object]] = items.take(pa.array(rows[:_MAX_PICTURES], pa.int64())).to_pylist()
    return picked


def _by_split_and_class(item: tuple[tuple[str, str], list[int]]) -> tuple[str, int, str]:
    (split, label), _ = item
    return split, int(label) if label.isdigit() else -1, label


def draw_rejects(source: Store, keys: Sequence[str]) -> dict[str, Thumbnail]:
    """Return pictures of rejected source files that are there and that can be drawn at all."""
    pictures = {}
    for key in keys:
        try:
            data = source.get(key)
        except OSError:
            continue
        if thumbnail := make_partial_thumbnail(data, side_px=SIDE_PX):
            pictures[key] = thumbnail
    return pictures


def _within_budget(pictures: Iterator[SheetPicture | None]) -> Iterator[SheetPicture]:
    num_bytes = 0
    for picture in pictures:
        if picture is None:
            continue
        num_bytes += len(picture.thumbnail.jpeg)
        if num_bytes > _MAX_JPEG_BYTES:
            return
        yield picture
