"""Folders named as splits: ``SOURCE/train/CLASS/...``, ``SOURCE/val/CLASS/...`` and so on, listed as one source."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.sources.image_names import is_hidden, quote
from packer.sources.items import KEY, LABEL, LabelKind, Listing, SourceSpec
from packer.sources.members import ARCHIVE
from packer.stores.open_store import absolute_uri, is_local, open_store

SPLIT_COLUMN = "split"
"""The extra column that names each item's split."""

_SPLITS = ("train", "val", "test")
_SPLIT_NAME = re.compile(
    r"(?:(?P<train>train|training|trainval)|(?P<val>val|valid|validation|dev|eval)|(?P<test>test|testing))"
    r"([-_ ]?(set|data|images))?[-_ ]?\d*",
    re.IGNORECASE,
)

_ListOne = Callable[[SourceSpec], Listing]


def list_split_folders(spec: SourceSpec, list_one: _ListOne) -> Listing:
    """List the folders of a source that are named as splits, each by `list_one`, with a column of the split's name.

    A class has one id in all of them, by the order of the names or by the class map. Other folders are left out with a
    notice.

    Raises:
        SourceError: no folder is named as a split, some have labels and others have none, or as `list_one`.
    """
    names = _list_folders(spec)
    splits = {name: split for name in names if (split := split_of(name))}
    if not splits:
        raise SourceError(
            f"{spec.source}: expected folders named train, val or test, got {quote(names) or 'none'}",
            field="split_folders",
        )
    listings = {
        name: list_one(replace(spec, source=f"{spec.source.rstrip('/')}/{name}", split_folders=False, fields=()))
        for name in splits
    }
    _check_kinds(spec, listings)
    class_names = _merge_names(spec, listings)
    tables = [_place(listing, name, splits[name], class_names) for name, listing in listings.items()]
    table = pa.concat_tables(tables, promote_options="default").combine_chunks()
    others = sorted(set(names) - set(splits))
    notices = [f"{name}: {notice}" for name, listing in listings.items() for notice in listing.notices]
    if others:
        notices.append(f"left out the folders {quote(others)}: not named as splits")
    return Listing(
        items=table.take(pc.sort_indices(table.column(KEY))).combine_chunks(),
        label_kind=next(iter(listings.values())).label_kind,
        class_names=class_names,
        root=absolute_uri(spec.source),
        notices=tuple(notices),
    )


def split_of(folder: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` where a folder is named as one of them, such as ``val2017``."""
    match = _SPLIT_NAME.fullmatch(folder)
    return next((split for split in _SPLITS if match[split]), None) if match else None


def _list_folders(spec: SourceSpec) -> list[str]:
    """Return the names of the folders directly in a source, sorted, without hidden ones."""
    uri = absolute_uri(spec.source)
    if is_local(uri):
        try:
            with os.scandir(uri) as entries:
                names = {entry.name for entry in entries if entry.is_dir()}
        except OSError as error:
            raise SourceError(f"{spec.source}: cannot be read ({error.strerror})") from None
    else:
        keys = (info.key for info in open_store(uri, spec.store).list())
        names = {key.partition("/")[0] for key in keys if "/" in key}
    return sorted(name for name in names if name and not is_hidden(name))


def _check_kinds(spec: SourceSpec, listings: dict[str, Listing]) -> None:
    labelled = [name for name, listing in listings.items() if listing.label_kind is not LabelKind.NONE]
    if labelled and len(labelled) < len(listings):
        without = sorted(set(listings) - set(labelled))
        raise SourceError(
            f"{spec.source}: the splits {quote(labelled)} have class folders, {quote(without)} have none; pack those "
            "apart, or pass `flat=True` for no labels"
        )


def _merge_names(spec: SourceSpec, listings: dict[str, Listing]) -> tuple[str, ...]:
    if spec.class_map is not None:
        return next(iter(listings.values())).class_names
    return tuple(sorted({name for listing in listings.values() for name in listing.class_names}))


def _place(listing: Listing, folder: str, split: str, class_names: tuple[str, ...]) -> pa.Table:
    """Return a folder's items with the keys and class ids that they have in the whole source."""
    table = listing.items
    for name in (KEY, ARCHIVE):
        if name in table.column_names:
            prefix, slash = (pa.scalar(text, pa.large_string()) for text in (folder, "/"))
            keys = pc.binary_join_element_wise(prefix, table.column(name), slash)
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), keys)
    if LABEL in table.column_names and listing.class_names != class_names:
        ids = pa.array([class_names.index(name) for name in listing.class_names], pa.int64())
        index = table.schema.get_field_index(LABEL)
        table = table.set_column(index, table.schema.field(LABEL), ids.take(table.column(LABEL)))
    return table.append_column(SPLIT_COLUMN, pa.repeat(pa.scalar(split, pa.large_string()), table.num_rows))
