"""The plan: which item goes to which split, shard and position. Pure: the same items and options give the same plan.

    items, in any order -> hash order -> splits -> shards, dealt round-robin -> sorted by (split, shard, hash)

Where the sizes of all records are known and a shard would pass 128 MB, they are dealt by size instead.

A task packs one shard from its own rows of the plan and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Meta

from packer.errors import OptionsError
from packer.options import check_split_name
from packer.planning.balance import KnownSizes, choose_shards_for_sizes
from packer.planning.digest import TableDigest
from packer.planning.order import hash_order
from packer.planning.reordered import Reordered, to_arrow
from packer.planning.shard_count import SizeEstimate, check_fit, choose_num_shards, deal
from packer.planning.splits import IntArray, assign_splits
from packer.specs import FieldSpec, FormatName, ImageSpec, ShardSpec, SplitSpec, is_training_split

_ITEM_COLUMNS = ("key", "num_bytes", "label", "shard")
"""Columns that are no extras; nor are those with a leading underscore, which say where an item lies."""
_TRANSIENT = ("_etag", "_spilled", "_spilled_at")
_UNFIT = (pa.ArrowInvalid, pa.ArrowNotImplementedError)
"""What Arrow raises where values of a column have another type than one that is wanted of them."""

PLAN_VERSION = 2
"""Part of every plan id: raised when the same options would give other bytes."""


class PlannedSplit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One split of the plan."""

    name: str
    is_training: bool
    num_items: int
    num_shards: int
    num_fills: int
    """Samples to be repeated so that shards are equal, before any reject; 0 for evaluation."""

    def num_items_of(self, shard_index: int) -> int:
        """Return how many items are dealt to a shard."""
        return self.num_items // self.num_shards + (shard_index < self.num_items % self.num_shards)

    @property
    def records_per_shard(self) -> int:
        """Records of each training shard; the most that an evaluation shard can hold."""
        return -(-self.num_items // self.num_shards)


class PlanHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a plan decides, without the items: all that determines the bytes of a data set, and nothing else."""

    version: int
    """`PLAN_VERSION` of the release that planned."""
    format: FormatName
    image: ImageSpec
    encoder_sha256: str
    seed: int
    world: int
    target_bytes: int
    stratify: bool
    label_kind: str
    class_names: tuple[str, ...]
    num_classes: int
    extra_names: tuple[str, ...]
    splits: tuple[PlannedSplit, ...]
    mean_record_bytes: int
    """Integer mean of the framed sizes that were measured, or of all where they are known."""
    items_sha256: str
    """Digest of the planned items in their order."""
    fields: Annotated[tuple[FieldSpec, ...] | msgspec.UnsetType, Meta(extra={"since": 2})] = msgspec.UNSET
    """What some of the extra columns are; set where any is declared."""

    @property
    def declared(self) -> tuple[FieldSpec, ...]:
        """The fields, none where they are not set."""
        return self.fields or ()

    def locate(self, task: int) -> tuple[PlannedSplit, int]:
        """Return the split and shard index of a task; tasks number the shards of all splits in order, from 0."""
        for split in self.splits:
            if task < split.num_shards:
                return split, task
            task -= split.num_shards
        raise IndexError(f"task {task} is beyond the plan's shards")

    def task_of(self, split_name: str, shard_index: int) -> int | None:
        """Return the task that makes a shard; None where there is no such split or shard."""
        first = 0
        for split in self.splits:
            if split.name == split_name:
                return first + shard_index if shard_index < split.num_shards else None
            first += split.num_shards
        return None

    @property
    def num_tasks(self) -> int:
        """Shards of all splits."""
        return sum(split.num_shards for split in self.splits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A header and its items by split, sorted by (shard, position), with the column `shard` added."""

    plan_id: str
    """See `digest_of_header`. Made once: what is stored keeps it, whatever fields later releases know."""
    header: PlanHeader
    tables: tuple[Reordered, ...]
    copies: pa.Table | None = None
    """Sets of exact copies of which items were left out before planning; see `packer.dataset.copies`."""
    near: pa.Table | None = None
    """Pictures that look alike, where they were sought; see `packer.dataset.near_list`."""

    @property
    def source_bytes(self) -> int:
        """Size of all items in bytes."""
        return sum(pc.sum(table.column("num_bytes")).as_py() or 0 for table in self.tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What `build_plan` is asked for, beside the items."""

    format: FormatName
    image: ImageSpec
    encoder_sha256: str
    seed: int
    sharding: ShardSpec
    splits: Sequence[SplitSpec]
    split_column: str | None
    """Column that names each item's split; `splits` then does not count."""
    group_column: str | None
    label_kind: str
    class_names: tuple[str, ...]
    fields: tuple[FieldSpec, ...] = ()


def without_tags(items: pa.Table) -> pa.Table:
    """Return what the items are; entity tags are the store's own, so a copy elsewhere has the same.

    Nor is it part of an item where its image was put for the time of a run.
    """
    return items.drop_columns([name for name in items.column_names if name in _TRANSIENT])


def digest_of_splits(digests: Iterable[str]) -> str:
    """Return the digest of all planned items, made from the digests of the splits' tables."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def extra_names(items: pa.Table | Reordered) -> tuple[str, ...]:
    """Return the names of the extra columns of an item table."""
    return tuple(name for name in items.column_names if name not in _ITEM_COLUMNS and not name.startswith("_"))


def order_items(items: pa.Table, *, seed: int) -> pa.Table:
    """Return a table of the items in hash order, whatever order they came in."""
    return items.take(to_arrow(hash_order(items.column("key"), seed=seed)))


def build_plan(
    ordered: pa.Table | Reordered,
    sizes: SizeEstimate | KnownSizes,
    request: PlanRequest,
    *,
    groups: IntArray | None = None,
) -> Plan:
    """Plan the items, which must come in hash order.

    `groups`, of shape (n,), are numbers of groups that go to one split each, in the place of the request's column.

    Raises:
        OptionsError: the group or split column is missing or of a type that cannot be used, `stratify=True` lacks class
            labels, a split has fewer items than shards, equal shards would repeat too many samples, or known sizes fit
            no shards.
    """
    check_stratify(request)
    classes = np.asarray(ordered.column("label").to_numpy(), dtype=np.int64) if request.sharding.stratify else None
    groups = _groups(ordered, request.group_column) if groups is None else groups
    if request.split_column is not None:
        names, split_of_item = _named_splits(ordered, request.split_column)
    else:
        names = [spec.name for spec in request.splits]
        split_of_item = assign_splits(ordered.num_rows, request.splits, groups=groups, classes=classes)
    items = ordered if isinstance(ordered, Reordered) else Reordered.of(ordered)
    planned, placed = [], []
    shards = np.zeros(items.table.num_rows, dtype=np.int32)
    for index, name in enumerate(names):
        rows = np.flatnonzero(split_of_item == index)
        own_sizes = KnownSizes(sizes.framed_bytes[rows]) if isinstance(sizes, KnownSizes) else sizes
        own_classes = None if classes is None else classes[rows]
        num_shards, shard_of_item = _cut(name, len(rows), own_sizes, request.sharding, own_classes)
        planned.append(plan_split(name, len(rows), num_shards, request.sharding))
        shards[items.rows[rows]] = shard_of_item
        placed.append(items.pick(rows[np.argsort(shard_of_item, kind="stable")]).rows)
    with_shards = items.table.append_column("shard", to_arrow(shards))
    tables = [Reordered(with_shards, rows) for rows in placed]
    facts = PlannedFacts(
        mean_record_bytes=sizes.mean_bytes,
        highest_class=_highest_class(tables, request),
        extra_names=extra_names(tables[0]),
        items_sha256=digest_of_splits(map(_digest_of_items, tables)),
    )
    header = build_header(planned, facts, request)
    return Plan(plan_id=plan_id_of(header), header=header, tables=tuple(tables))


def _digest_of_items(items: Reordered) -> str:
    digest = TableDigest(without_tags(items.schema.empty_table()).schema)
    for step in items.iter_steps():
        digest.update(without_tags(step))
    return digest.finish()


def digest_of_header(data: bytes | memoryview) -> str:
    """Return the id of a plan: the sha256, as hex digits, of its header as JSON with sorted keys, less white space."""
    return hashlib.sha256(msgspec.json.format(data, indent=-1)).hexdigest()


def _cut(
    name: str, num_items: int, sizes: SizeEstimate | KnownSizes, sharding: ShardSpec, classes: IntArray | None
) -> tuple[int, IntArray]:
    """Return a split's number of shards, and each item's shard."""
    if isinstance(sizes, KnownSizes):
        return choose_shards_for_sizes(name, sizes, sharding, is_training=is_training_split(name), classes=classes)
    num_shards = choose_num_shards(num_items, sizes, sharding)
    return num_shards, deal(num_items, num_shards, classes=classes)


def plan_split(name: str, num_items: int, num_shards: int, sharding: ShardSpec) -> PlannedSplit:
    """Decide a split's fills. Raises OptionsError where it cannot be cut evenly."""
    is_training = is_training_split(name)
    return PlannedSplit(
        name=name,
        is_training=is_training,
        num_items=num_items,
        num_shards=num_shards,
        num_fills=check_fit(name, num_items, num_shards, is_training=is_training, spec=sharding),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFacts:
    """What a header says of all planned items."""

    mean_record_bytes: int
    highest_class: int
    """-1 without classes."""
    extra_names: tuple[str, ...]
    items_sha256: str


def build_header(splits: Sequence[PlannedSplit], facts: PlannedFacts, request: PlanRequest) -> PlanHeader:
    """Return the header of a plan."""
    has_classes = request.label_kind == "class"
    return PlanHeader(
        version=PLAN_VERSION,
        format=request.format,
        image=request.image,
        encoder_sha256=request.encoder_sha256,
        seed=request.seed,
        world=request.sharding.world,
        target_bytes=request.sharding.target_bytes,
        stratify=request.sharding.stratify,
        label_kind=request.label_kind,
        class_names=request.class_names,
        num_classes=max(facts.highest_class + 1, len(request.class_names)) if has_classes else 0,
        extra_names=facts.extra_names,
        splits=tuple(splits),
        mean_record_bytes=facts.mean_record_bytes,
        items_sha256=facts.items_sha256,
        fields=request.fields or msgspec.UNSET,
    )


def plan_id_of(header: PlanHeader) -> str:
    """Return the id of a new plan."""
    return digest_of_header(msgspec.json.encode(header, order="sorted"))


def _highest_class(tables: Sequence[Reordered], request: PlanRequest) -> int:
    if request.label_kind != "class":
        return -1
    return max(int(np.max(table.column("label").to_numpy())) for table in tables if table.num_rows)


def check_stratify(request: PlanRequest) -> None:
    """Raise OptionsError where classes are to be dealt evenly and there are none."""
    if request.sharding.stratify and request.label_kind != "class":
        found = "no labels" if request.label_kind == "none" else "labels that are numbers"
        raise OptionsError(
            f"expected class labels, and the source has {found}; put the images into one folder a class, or name a "
            f"column of classes with `label_column`",
            field="stratify",
        )


def split_values(items: pa.Table | Reordered, column: str) -> pa.ChunkedArray:
    """Return the name of each item's split. Raises OptionsError where the column cannot be used."""
    given = _column(items, column, "split_column")
    try:
        values = given.cast(pa.string())
    except _UNFIT:
        raise OptionsError(
            f"expected a column of names of splits, as text in UTF-8, got {column!r} of type {given.type}",
            field="split_column",
        ) from None
    if values.null_count:
        raise OptionsError(
            f"expected a split in each row of {column!r}, {values.null_count} have none", field="split_column"
        )
    return values


def check_split_names(names: Iterable[str]) -> list[str]:
    """Return names that a column gives to splits, sorted. Raises OptionsError for one that cannot be used."""
    ordered = sorted(names)
    for name in ordered:
        check_split_name(name, "split_column")
    return ordered


def _named_splits(ordered: pa.Table | Reordered, column: str) -> tuple[list[str], IntArray]:
    """Return the names of the splits, sorted, and the index of each item's."""
    values = split_values(ordered, column)
    names = check_split_names(pc.unique(values).to_pylist())
    return names, np.asarray(pc.index_in(values, pa.array(names, pa.string())).to_numpy(), dtype=np.int64)


def _column(ordered: pa.Table | Reordered, name: str, field: str) -> pa.ChunkedArray:
    if name not in ordered.column_names:
        raise OptionsError(
            f"expected a column of the source ({', '.join(ordered.column_names)}), got {name!r}", field=field
        )
    return ordered.column(name)


def _groups(ordered: pa.Table | Reordered, group_column: str | None) -> IntArray | None:
    if group_column is None:
        return None
    return np.asarray(encode_groups(ordered, group_column).indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def encode_groups(items: pa.Table | Reordered, group_column: str) -> pa.DictionaryArray:
    """Return the groups of items as numbers and values; a null is a value. Raises OptionsError for unfit columns."""
    column = _column(items, group_column, "group_column")
    try:
        return column.combine_chunks().dictionary_encode(null_encoding="encode")
    except _UNFIT:
        raise OptionsError(
            f"expected a column with one text, number or byte string a row, got {group_column!r} of type {column.type}",
            field="group_column",
        ) from None
