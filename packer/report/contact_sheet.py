"""Pictures for the report: packed records, and source files that were rejected."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.manifest import Manifest
from packer.dataset.shardcheck import manifest_shards
from packer.dataset.sidefiles import load_places
from packer.errors import PackerError
from packer.formats.container import RecordPlaces, Sample
from packer.formats.registry import get_format
from packer.imaging.thumbnails import Marks, Thumbnail, make_partial_thumbnail, make_thumbnail
from packer.specs import FieldKind, FieldSpec
from packer.stores.readahead import read_in_order
from packer.stores.store import Store

SIDE_PX = 160
_MAX_PICTURES = 360
_MAX_JPEG_BYTES = 2_400_000
"""Most bytes of all pictures together, so that the page stays below 5 MB."""
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
        store: store of the data set.
        manifest: manifest of the data set.
        table: records of the data set, with the columns of `RecordFacts.table`.

    Returns:
        At most `_MAX_PICTURES` pictures, and at most `_PER_CLASS` of each class in each split.

    Raises OSError if the store fails.
    """
    return tuple(_within_budget(draw_rows(store, manifest, choose_rows(table))))


def draw_rows(store: Store, manifest: Manifest, rows: Sequence[Mapping[str, object]]) -> Iterator[SheetPicture | None]:
    """Yield the picture of each row's record, with boxes, key points and masks; None for a damaged record.

    Raises OSError if the store fails.
    """
    reader = get_format(manifest.format)

    entries = {entry.key: (split, entry) for split, entry in manifest_shards(manifest)}

    @functools.lru_cache(maxsize=_MAX_PICTURES)
    def places_in(shard: str) -> RecordPlaces:
        return load_places(store, reader, *entries[shard])

    def draw(row: Mapping[str, object]) -> SheetPicture | None:
        name, position = str(row["shard"]), int(str(row["position"]))
        try:
            places = places_in(name)
            record, *pictures = (store.get_range(name, at, at + size) for at, size in places.spans_of(position))
            sample = reader.decode_record(record, pictures=dict(zip(places.pictures, pictures, strict=True)), name=name)
        except PackerError:
            return None  # `verify` says what is wrong with it
        thumbnail = make_thumbnail(sample.encoded, side_px=SIDE_PX, marks=_marks(manifest.declared, row, sample))
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

    return read_in_order(store, rows, draw)


def _marks(fields: Sequence[FieldSpec], row: Mapping[str, object], sample: Sample) -> Marks:
    """Return the fields to draw on a record's picture: boxes and points from its row, masks from the record."""
    boxes: list[tuple[float, float, float, float]] = []
    points: list[tuple[float, float]] = []
    for spec in fields:
        numbers = _numbers(row, spec.name)
        if spec.kind is FieldKind.BOXES:
            boxes += zip(*(iter(numbers),) * 4, strict=True)
        elif spec.kind is FieldKind.POINTS:
            visible = _numbers(row, spec.visible_column)
            pairs: Iterable[tuple[float, float]] = zip(numbers[::2], numbers[1::2], strict=True)
            points += [pair for pair, is_visible in zip(pairs, visible, strict=True) if is_visible]
    masks = [spec.name for spec in fields if spec.kind is FieldKind.MASK and spec.name in sample.pictures]
    return Marks(boxes=tuple(boxes), points=tuple(points), masks=tuple(sample.pictures[name].encoded for name in masks))


def _numbers(row: Mapping[str, object], name: str) -> list[float]:
    found = row.get(name)
    return found if isinstance(found, list) else []


def choose_rows(table: pa.Table) -> list[dict[str, object]]:
    """Return rows of items to draw: the first items of each class and split; of many classes, fewer of each."""
    items = table.filter(pc.invert(table.column("is_fill")))
    chosen: dict[tuple[str, str], list[int]] = {}
    splits = items.column("split").cast(pa.string()).to_pylist()
    labels = items.column("label_text").to_pylist()
    for index, group in enumerate(zip(splits, labels, strict=True)):
        taken = chosen.setdefault((group[0], group[1] or ""), [])
        if len(taken) < _PER_CLASS:
            taken.append(index)
    rows: list[int] = []
    for depth in range(_PER_CLASS):  # the first of every class comes before the second of any class
        rows += [taken[depth] for _, taken in sorted(chosen.items(), key=_by_split_and_class) if depth < len(taken)]
    picked: list[dict[str, object]] = items.take(pa.array(rows[:_MAX_PICTURES], pa.int64())).to_pylist()
    return picked


def _by_split_and_class(item: tuple[tuple[str, str], list[int]]) -> tuple[str, int, str]:
    (split, label), _ = item
    return split, int(label) if label.isdigit() else -1, label


def draw_rejects(source: Store, keys: Sequence[str]) -> dict[str, Thumbnail]:
    """Return pictures, by key, of those rejected source files that exist and can be decoded at least partly."""
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
