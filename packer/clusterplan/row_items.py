"""Makes items from rows of a table on workers. The driver decides what depends on all rows together.

rows -> staged with their facts (labels, first and last path) -> driver: roles, ids of labels, root -> `ItemMaker`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from packer.clusterplan.row_images import PLACE_COLUMNS, SPILLED_BYTES
from packer.clusterplan.staging import Staging
from packer.errors import SourceError
from packer.sources.columns import build_extra
from packer.sources.fieldcolumns import PICTURES, BoxClasses, build_fields, find_box_classes
from packer.sources.fieldpictures import build_picture_keys, picture_columns
from packer.sources.items import KEY, LABEL, NUM_BYTES, LabelKind, SourceSpec, build_items
from packer.sources.keys import build_keys, clean_uris, folder_between
from packer.sources.listing import build_listed_label, load_listed_sizes
from packer.sources.members import SPILLED, SPILLED_AT
from packer.sources.roles import Roles, expect_column, find_roles
from packer.sources.tables import RawTable, TableKind
from packer.specs import FieldSource, FieldSpec
from packer.stores.open_store import absolute_uri


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFacts:
    """Facts about one staged table of rows, for the driver."""

    name: str
    num_rows: int
    schema: pa.Schema
    first_path: str | None
    last_path: str | None
    """First and last path in the order of their bytes; None if there are no paths."""
    labels: pa.Array | None
    """Each label once, if labels are classes; otherwise None."""
    num_unlabelled: int
    box_classes: dict[str, BoxClasses]
    """By the names of fields of boxes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemMaker:
    """Makes items from rows. It can be pickled."""

    name: str
    """Name of the table, for messages."""
    spec: SourceSpec
    roles: Roles
    schema: pa.Schema
    """Schema of all rows together."""
    root: str
    """Folder or URI that paths start from."""
    folder: str
    place: str
    """Folder or URI from which items are read."""
    label_kind: LabelKind
    class_names: tuple[str, ...]
    labels: pa.Array | None
    ids: pa.Array | None
    """Class id of each of `labels`."""
    box_classes: dict[str, BoxClasses]
    """Classes of boxes in all rows, by the name of their field."""

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The declared fields, with the names of boxes' classes."""
        return tuple(
            FieldSpec(
                name=field.name,
                kind=field.kind,
                class_names=self.box_classes[field.name].names if field.name in self.box_classes else (),
            )
            for field in self.spec.fields
        )

    def make(self, rows: pa.Table) -> pa.Table:
        """Return the items of some rows, sorted by key. Raises SourceError for invalid rows."""
        whole = pa.concat_tables([rows, self.schema.empty_table()], promote_options="permissive").select(
            self.schema.names
        )
        raw = _as_raw(self.name, whole)
        keys = build_keys(raw, self.roles.key, self.root, folder=self.folder)
        columns = {name: build_extra(raw, name) for name in self.roles.extras}
        if self.ids is not None:
            places = pc.index_in(_plain(raw.table.column(self.roles.labels[0])), value_set=self.labels)
            columns[LABEL] = pa.chunked_array([pc.take(self.ids, places.combine_chunks())])
        elif self.label_kind is LabelKind.FLOATS:
            label = build_listed_label(raw, self.roles.labels, self.spec)
            if label.kind is LabelKind.FLOATS and label.values is not None:
                columns[LABEL] = label.values
        columns[KEY] = keys
        if SPILLED in whole.column_names:
            columns |= {SPILLED: whole.column(SPILLED), SPILLED_AT: whole.column(SPILLED_AT)}
            columns[NUM_BYTES] = whole.column(SPILLED_BYTES)
        else:
            columns |= load_listed_sizes(raw, keys, self.root, self.spec.store)
        columns |= build_fields(raw, self.spec, self.roles.extras, classes=self.box_classes).columns
        for field in self.spec.fields:
            if field.kind in PICTURES:
                columns |= self._pictures(raw, field)
        return build_items(columns)

    def _pictures(self, raw: RawTable, field: FieldSource) -> dict[str, pa.ChunkedArray]:
        keys = build_picture_keys(raw, field, self.root, folder=self.folder)
        return picture_columns(field, keys, load_listed_sizes(raw, keys, self.root, self.spec.store))


def row_facts(staging: Staging, name: str, rows: pa.Table, spec: SourceSpec) -> RowFacts:
    """Stage some rows and return their facts. Raises SourceError if the roles of the columns are not clear."""
    raw = _as_raw(spec.source, rows)
    roles = find_roles(raw, spec)
    box_classes = find_box_classes(raw, spec)
    staging.put(name, rows)
    bounds = pc.min_max(_paths(raw, roles, spec).cast(pa.large_binary())).as_py()
    labels, num_unlabelled = None, 0
    if len(roles.labels) == 1:
        column = _plain(rows.column(roles.labels[0]))
        num_unlabelled = column.null_count
        if _is_class(column.type):
            labels = pc.unique(column.drop_null())
    return RowFacts(
        name=name,
        num_rows=rows.num_rows,
        schema=rows.schema.remove_metadata(),
        first_path=None if bounds["min"] is None else bounds["min"].decode(),
        last_path=None if bounds["max"] is None else bounds["max"].decode(),
        labels=labels,
        num_unlabelled=num_unlabelled,
        box_classes=box_classes,
    )


def _paths(raw: RawTable, roles: Roles, spec: SourceSpec) -> pa.ChunkedArray:
    """Return the paths of images, and of masks and further images that are fields."""
    pictures = [field.column for field in spec.fields if field.kind in PICTURES]
    columns = [
        _plain(raw.table.column(expect_column(raw.table.column_names, name, "field")))
        for name in (roles.key, *pictures)
    ]
    texts = [column for column in columns if pa.types.is_large_string(column.type)]
    return clean_uris(pa.chunked_array([chunk for column in texts for chunk in column.chunks], pa.large_string()))


def plan_items(facts: Sequence[RowFacts], spec: SourceSpec, *, folder: str | None, images: Staging) -> ItemMaker:
    """Return the item maker that follows from the facts of all rows.

    Args:
        folder: folder that paths start from, unless the spec names one; None for the folder common to all paths.
        images: staging of the images that were in the rows, if there were any.

    Raises:
        SourceError: there are no rows, or their columns or labels are invalid.
    """
    if not sum(part.num_rows for part in facts):
        raise SourceError(f"{spec.source}: nothing in it: expected one row per image")
    try:
        schema = pa.unify_schemas([part.schema for part in facts], promote_options="permissive")
    except pa.ArrowException as error:
        raise SourceError(f"{spec.source}: its files disagree about a column: {' '.join(str(error).split())}") from None
    roles = find_roles(_as_raw(spec.source, schema.empty_table()), spec)
    has_images = SPILLED in schema.names
    root = absolute_uri(spec.root) if spec.root is not None else folder or _common_root(facts, spec, has_images)
    maker = ItemMaker(
        name=spec.source,
        spec=spec,
        roles=roles,
        schema=schema,
        root=root,
        folder=folder or root,
        place=images.root if has_images else root,
        label_kind=LabelKind.NONE,
        class_names=(),
        labels=None,
        ids=None,
        box_classes=_join(facts),
    )
    return _with_labels(maker, facts)


def _join(facts: Sequence[RowFacts]) -> dict[str, BoxClasses]:
    joined: dict[str, BoxClasses] = {}
    for part in facts:
        for name, classes in part.box_classes.items():
            joined[name] = joined[name].join(classes) if name in joined else classes
    return joined


def _with_labels(maker: ItemMaker, facts: Sequence[RowFacts]) -> ItemMaker:
    names = maker.roles.labels
    num_rows, num_unlabelled = sum(part.num_rows for part in facts), sum(part.num_unlabelled for part in facts)
    if not names or (len(names) == 1 and num_unlabelled == num_rows):
        return maker
    if num_unlabelled:
        raise SourceError(
            f"{maker.name}: no label in column {names[0]!r} of {num_unlabelled:,} of {num_rows:,} rows; mend or remove "
            "them"
        )
    if len(names) > 1 or not _is_class(_plain_type(maker.schema.field(names[0]).type)):
        return replace(maker, label_kind=LabelKind.FLOATS)
    kind = _plain_type(maker.schema.field(names[0]).type)
    labels = pc.unique(pa.chunked_array([part.labels.cast(kind) for part in facts if part.labels is not None], kind))
    distinct = _as_raw(maker.name, pa.table({names[0]: labels}))
    label = build_listed_label(distinct, names, maker.spec)
    return replace(
        maker,
        label_kind=label.kind,
        class_names=label.class_names,
        labels=labels,
        ids=None if label.values is None else label.values.combine_chunks(),
        roles=replace(maker.roles, notices=maker.roles.notices + label.notices),
    )


def _common_root(facts: Sequence[RowFacts], spec: SourceSpec, has_images: bool) -> str:
    firsts = [part.first_path for part in facts if part.first_path is not None]
    lasts = [part.last_path for part in facts if part.last_path is not None]
    if has_images and firsts and not (firsts[0].startswith("/") or "://" in firsts[0]):
        return spec.source  # keys that are no paths
    place = folder_between(min(firsts, key=str.encode), max(lasts, key=str.encode)) if firsts else ""
    if not place.strip("/") or place.endswith("://"):
        raise SourceError(
            f"{spec.source}: expected the folder or bucket that its paths start from, since they have none in common",
            field="root",
        )
    return place.rstrip("/")


def _as_raw(name: str, table: pa.Table) -> RawTable:
    own = table.drop_columns([column for column in PLACE_COLUMNS if column in table.column_names])
    return RawTable(name=name, kind=TableKind.PARQUET, files=(name,), rows_per_file=(table.num_rows,), table=own)


def _is_class(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_int64(kind))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(_plain_type(column.type))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return one type for all kinds of text, and one for all kinds of integers; other types stay."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_null(value):
        return pa.large_string()
    return pa.int64() if pa.types.is_integer(value) or pa.types.is_boolean(value) else value
