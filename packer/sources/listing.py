"""Listings: CSV, JSONL or Parquet files with one row per image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.sources.columns import LabelledColumn, build_extra, build_label
from packer.sources.items import ITEM_COLUMNS, KEY, LABEL, NUM_BYTES, LabelKind, Listing, SourceSpec, build_items
from packer.sources.keys import build_keys
from packer.sources.sizes import MISSING, load_sizes
from packer.sources.tables import RawTable, load_table

KEY_NAMES = ("key", "path", "file", "filename", "file_name", "filepath", "image", "image_path", "uri", "url")
"""Names of a path column, in any case of letters; more than one of them needs --key-column."""
LABEL_NAMES = ("label", "class", "target", "category")
"""Names of a label column, in any case of letters; the first that is there counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roles:
    key: str
    label: str | None
    extras: tuple[str, ...]
    notices: tuple[str, ...]


def list_listing(spec: SourceSpec, files: Sequence[str], *, root: str) -> Listing:
    """List the files that rows name, below `root` unless the spec has another.

    Sizes come from the files themselves; a column `num_bytes` is left out.

    Raises:
        SourceError: what is wrong with the listing, its columns, or the files that it names.
    """
    if spec.flat:
        raise SourceError(f"--flat: expected with a folder only, got it with the listing {spec.source!r}; leave it out")
    root = os.path.abspath(spec.root if spec.root is not None else root)
    raw = load_table(spec.source, files)
    if not raw.table.num_rows:
        raise SourceError(f"{spec.source}: nothing in it: expected one row per image")
    roles = _find_roles(raw.table.column_names, spec)
    keys = build_keys(raw, roles.key, root)
    columns = {name: build_extra(raw, name) for name in roles.extras}
    label = LabelledColumn(kind=LabelKind.NONE) if roles.label is None else build_label(raw, roles.label)
    if label.values is not None:
        columns[LABEL] = label.values
    columns |= {KEY: keys, NUM_BYTES: _load_sizes(raw, keys, root)}
    return Listing(
        items=build_items(columns),
        label_kind=label.kind,
        class_names=label.class_names,
        root=root,
        notices=roles.notices,
    )


def _find_roles(names: Sequence[str], spec: SourceSpec) -> _Roles:
    key = _find_key(names, spec)
    label = _find_label([name for name in names if name != key], spec)
    others = [name for name in names if name not in (key, label)]
    notices = []
    for name in others:
        if name == NUM_BYTES:
            notices.append(f"column {name!r} left out: sizes are read from the files")
        elif name in ITEM_COLUMNS:
            notices.append(f"column {name!r} left out: another column was named for it")
    extras = tuple(name for name in others if name not in ITEM_COLUMNS)
    return _Roles(key=key, label=label, extras=extras, notices=tuple(notices))


def _find_key(names: Sequence[str], spec: SourceSpec) -> str:
    if spec.key_column is not None:
        return _expect_column(names, spec.key_column, "--key-column")
    found = [name for name in names if name.lower() in KEY_NAMES and name != spec.label_column]
    if len(found) == 1:
        return found[0]
    problem = (
        f"{len(found)} columns look like paths ({_join(found)})"
        if found
        else (f"no column is named {', '.join(KEY_NAMES[:-1])} or {KEY_NAMES[-1]} (its columns: {_join(names)})")
    )
    raise SourceError(f"{spec.source}: {problem}; name the path's column with --key-column")


def _find_label(names: Sequence[str], spec: SourceSpec) -> str | None:
    if spec.label_column is not None:
        return _expect_column(names, spec.label_column, "--label-column")
    for wanted in LABEL_NAMES:
        found = [name for name in names if name.lower() == wanted]
        if len(found) > 1:
            raise SourceError(
                f"{spec.source}: the columns {_join(found)} look like labels; name one with --label-column"
            )
        if found:
            return found[0]
    return None


def _expect_column(names: Sequence[str], name: str, option: str) -> str:
    if name not in names:
        raise SourceError(f"{option}: no column {name!r}; expected one of {_join(names)}")
    return name


def _load_sizes(raw: RawTable, keys: pa.ChunkedArray, root: str) -> pa.ChunkedArray:
    sizes = load_sizes(root, keys)
    gone = pc.equal(sizes, MISSING)
    rows = pc.indices_nonzero(gone).to_pylist()
    if rows:
        raise SourceError(
            f"{raw.name}: {len(rows):,} of {len(keys):,} paths name no file below {root}: "
            f"{raw.show(rows, keys.filter(gone).to_pylist())}; "
            "mend the rows, or give the folder that paths start from with --root"
        )
    return sizes


def _join(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:20])
    return shown + ", ..." * (len(names) > 20) or "none"
