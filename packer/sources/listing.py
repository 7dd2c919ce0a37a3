"""Listings: CSV, TSV, JSONL or Parquet files, MXNet lists and augmented manifests, with one row per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.sources.augmented import build_class_names
from packer.sources.classmap import ClassMap, load_class_map
from packer.sources.columns import LabelledColumn, build_extra, build_label, build_vector_label
from packer.sources.fieldcolumns import PICTURES, build_fields
from packer.sources.fieldpictures import build_picture_keys, picture_columns
from packer.sources.items import KEY, LABEL, NUM_BYTES, LabelKind, Listing, SourceSpec, build_items
from packer.sources.keys import build_keys
from packer.sources.objects import load_objects
from packer.sources.roles import find_roles
from packer.sources.sizes import MISSING, load_sizes
from packer.sources.tables import NUM_EXAMPLES, RawTable, load_table
from packer.specs import StoreOptions
from packer.stores.open_store import absolute_uri, is_local, open_store


def list_listing(spec: SourceSpec, files: Sequence[str], *, root: str) -> Listing:
    """List the files that rows name, below `root` unless the spec has another.

    Sizes come from the files themselves; a column `num_bytes` is left out.

    Raises:
        SourceError: what is wrong with the listing, its columns, the class map, or the files that it names.
    """
    refuse_flat(spec)
    return list_rows_of(load_table(spec.source, files), spec, absolute_uri(root), {})


def list_rows_of(raw: RawTable, spec: SourceSpec, folder: str, drawn: Mapping[str, pa.ChunkedArray]) -> Listing:
    """List the files that rows name; see `list_listing`.

    Args:
        raw: the rows.
        spec: what they are listed for.
        folder: of the listing, absolute.
        drawn: columns of the items for masks that are no files.
    """
    root = absolute_uri(spec.root) if spec.root is not None else folder
    if not raw.table.num_rows:
        raise SourceError(f"{spec.source}: nothing in it: expected one row per image")
    roles = find_roles(raw, spec)
    keys = build_keys(raw, roles.key, root, folder=folder)
    columns = {name: build_extra(raw, name) for name in roles.extras}
    label = build_listed_label(raw, roles.labels, spec)
    if label.values is not None:
        columns[LABEL] = label.values
    columns |= {KEY: keys, **load_listed_sizes(raw, keys, root, spec.store)}
    built = build_fields(raw, spec, roles.extras)
    columns |= {**built.columns, **drawn}
    for field in spec.fields:
        if field.kind in PICTURES and field.name not in drawn:
            pictures = build_picture_keys(raw, field, root, folder=folder)
            columns |= picture_columns(field, pictures, load_listed_sizes(raw, pictures, root, spec.store))
    return Listing(
        items=build_items(columns),
        label_kind=label.kind,
        class_names=label.class_names,
        root=root,
        notices=raw.notices + roles.notices + label.notices,
        fields=built.fields,
    )


def refuse_flat(spec: SourceSpec) -> None:
    """Raise SourceError where a listing's rows are to have no classes by their folders, which they have never."""
    if spec.flat:
        raise SourceError(
            f"expected with a folder only, got it with the listing {spec.source!r}; leave it out", field="flat"
        )


def build_listed_label(raw: RawTable, names: Sequence[str], spec: SourceSpec) -> LabelledColumn:
    """Return the labels in some columns of a listing, with the ids of the class map where there is one."""
    if len(names) > 1:
        label = build_vector_label(raw, names)
    else:
        has_map = spec.class_map is not None
        label = build_label(raw, names[0], has_class_map=has_map) if names else LabelledColumn(kind=LabelKind.NONE)
    if spec.class_map is not None:
        return _apply_class_map(raw, label, load_class_map(spec.class_map, spec.store))
    if label.kind is LabelKind.CLASS and not label.class_names:
        return replace(label, class_names=build_class_names(raw, names[0], label.values))
    return label


def _apply_class_map(raw: RawTable, label: LabelledColumn, class_map: ClassMap) -> LabelledColumn:
    """Give classes by name the map's ids, and classes by id its names.

    Whole numbers that the map has as names are names, as they would be if they were the names of folders.
    """
    if label.kind is not LabelKind.CLASS or label.values is None:
        raise SourceError(f"expected class labels in {raw.name}, got labels of kind '{label.kind}'", field="class_map")
    if label.class_names:
        ids = class_map.find_ids(label.class_names, raw.name)
        return replace(
            label, values=pc.take(pa.array(ids, pa.int64()), label.values), class_names=class_map.class_names
        )
    numbers = sorted(pc.unique(label.values).to_pylist())
    if any(str(number) in class_map.ids for number in numbers):
        return _look_up_numerals(raw, label, class_map, numbers)
    known = set(class_map.ids.values())
    unknown = [number for number in numbers if number not in known]
    if unknown:
        raise SourceError(
            f"{class_map.path}: {len(unknown):,} ids of {raw.name} are not in it: {_show(unknown)}; add them",
            field="class_map",
        )
    return replace(label, class_names=class_map.class_names)


def _look_up_numerals(raw: RawTable, label: LabelledColumn, class_map: ClassMap, numbers: list[int]) -> LabelledColumn:
    unknown = [number for number in numbers if str(number) not in class_map.ids]
    if unknown:
        raise SourceError(
            f"{class_map.path}: some labels of {raw.name} are names in it, so all of them are names; "
            f"{len(unknown):,} are not in it: {_show(unknown)}; add them, or leave the class map out",
            field="class_map",
        )
    ids = [class_map.ids[str(number)] for number in numbers]
    rows = pc.index_in(label.values, value_set=pa.array(numbers, pa.int64()))
    changed = [
        f"{number} has id {class_id}" for number, class_id in zip(numbers, ids, strict=True) if number != class_id
    ]
    notice = f"the labels are names in the class map, and not ids: {', '.join(changed[:NUM_EXAMPLES])}"
    return replace(
        label,
        values=pc.take(pa.array(ids, pa.int64()), rows),
        class_names=class_map.class_names,
        notices=(notice + ", ..." * (len(changed) > NUM_EXAMPLES),) if changed else (),
    )


def _show(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:NUM_EXAMPLES])) + ", ..." * (len(numbers) > NUM_EXAMPLES)


def load_listed_sizes(
    raw: RawTable, keys: pa.ChunkedArray, root: str, store: StoreOptions
) -> dict[str, pa.ChunkedArray]:
    """Return the columns that are known of the files themselves: their sizes, and remote ones' entity tags.

    Raises SourceError for paths that name no file.
    """
    columns = {NUM_BYTES: load_sizes(root, keys)} if is_local(root) else load_objects(open_store(root, store), keys)
    gone = pc.equal(columns[NUM_BYTES], MISSING)
    rows = pc.indices_nonzero(gone).to_pylist()
    if rows:
        raise SourceError(
            f"{raw.name}: {len(rows):,} of {len(keys):,} paths name no file below {root}: "
            f"{raw.show(rows, keys.filter(gone).to_pylist())}; "
            "mend the rows, or give the folder that paths start from with `root`"
        )
    return columns
