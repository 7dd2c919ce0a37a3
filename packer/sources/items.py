"""The canonical item table, which every kind of source ends in and every plan starts from.

Nothing here reads files. A table built here is sorted, so it depends on what the source holds and never on the order
in which a file system or a listing gave it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from packer.specs import DEFAULT_STORE, FieldSource, FieldSpec, StoreOptions

KEY = "key"
NUM_BYTES = "num_bytes"
LABEL = "label"
ETAG = "_etag"
"""Entity tags of objects that remote stores listed. No part of what an item is: no plan depends on them."""
ITEM_COLUMNS = (KEY, NUM_BYTES, LABEL)
"""Names that an extra column cannot have."""
RESERVED_NAMES = frozenset({"shard", "source_num_bytes", "source_sha256", "is_fill"})
"""Names that the plan and the tables of records give to columns of their own; a listing that has one is refused."""

Columns: TypeAlias = "Mapping[str, pa.Array | pa.ChunkedArray]"


def _ignore(num_images: int) -> None:
    return


class LabelKind(enum.StrEnum):
    NONE = "none"
    """No label column."""
    CLASS = "class"
    """int64 class ids of at least 0, without nulls."""
    FLOATS = "floats"
    """large_list<float32>, all of one length, finite, without nulls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """What to list, as the user named it."""

    source: str
    """Folder or archive of images, listing file, or folder of Parquet files."""
    label_column: str | None = None
    """None: found by name, or no labels. Several names with commas between them: a vector of these columns."""
    key_column: str | None = None
    """None: found by name."""
    root: str | None = None
    """Folder that a listing's paths start from; None: the listing's own."""
    flat: bool = False
    """Folders are not classes."""
    split_folders: bool = False
    """Folders in the source are splits, and those in them are classes."""
    class_map: str | None = None
    """File with the ids of the classes; None: by the order of their names, or as a listing has them."""
    fields: tuple[FieldSource, ...] = ()
    """Which columns are fields beside the label."""
    store: StoreOptions = DEFAULT_STORE
    """How remote places are reached."""
    found: Callable[[int], None] = _ignore
    """Is told now and then how many more images were found."""

    @property
    def field_columns(self) -> frozenset[str]:
        """The columns of a listing that fields take, and so are nothing else."""
        return frozenset(name for field in self.fields for name in (field.column, field.beside) if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Everything that a source holds."""

    items: pa.Table
    """Sorted by `key` as UTF-8 bytes. Columns: `key` large_string, unique, relative to `root`, with ``/`` between its
    parts; `num_bytes` int64; `label` by `label_kind`; then by name the columns of members (see members.py), if there
    are members of archives, and extra columns of int64, float64, large_string, large_binary or large_list of the first
    three. Only extra columns and those of members hold nulls."""
    label_kind: LabelKind
    class_names: tuple[str, ...]
    """Name by class id; empty unless names are known."""
    root: str
    """Absolute folder, or URI, that keys are relative to."""
    notices: tuple[str, ...] = ()
    """What was left out, in plain sentences."""
    spilled: str | None = None
    """Folder that the items are in at present, where they came out of rows (imagerows.py)."""

    fields: tuple[FieldSpec, ...] = ()
    """What some of the extra columns are. Boxes and key points are large_list<float32> in pixels of the picture as its
    file stores it, of their classes and visibilities large_list<int64>; a mask or further image is its path, and its
    hidden columns (members.py) say where it lies."""

    @property
    def place(self) -> str:
        """Where the items are read."""
        return self.spilled or self.root


def build_items(columns: Columns) -> pa.Table:
    """Return the columns as a table sorted by `key`, with `key` and `num_bytes` marked as never null.

    `columns` holds `key`, `num_bytes`, perhaps `label`, and extra columns, all of the types that `Listing` states.
    """
    extras = sorted(set(columns) - set(ITEM_COLUMNS))
    names = [name for name in ITEM_COLUMNS if name in columns] + extras
    fields = [pa.field(name, columns[name].type, nullable=name in extras) for name in names]
    table = pa.table([columns[name] for name in names], schema=pa.schema(fields)).combine_chunks()
    # Arrow compares strings as unsigned bytes, which for UTF-8 is the order of code points.
    keys = table.column(KEY)
    if pc.all(pc.less(keys.slice(0, max(0, len(keys) - 1)), keys.slice(1))).as_py():
        return table  # sorted already, as most are: sorting takes the memory of all items once more
    return table.take(pc.sort_indices(table.column(KEY))).combine_chunks()
