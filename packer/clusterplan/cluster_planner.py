"""Makes a plan from staged rows without a list of items on the driver; planning.plan would make the same plan.

    rows -> buckets in hash order -> (without copies) -> splits -> shards -> files of the plan -> digest -> header

The driver holds only some facts about each bucket, class and file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa

from packer.clusterplan.assigning import (
    AssignContext,
    Assigned,
    CensusContext,
    assign_bucket,
    stage_places,
    take_census,
)
from packer.clusterplan.copying import SETS, CopyContext, SetsContext, distinct, drop_copies_on, stage_sets
from packer.clusterplan.grouping import GroupContext, assign_groups
from packer.clusterplan.item_buckets import (
    BucketFacts,
    OrderContext,
    limit_buckets,
    num_buckets,
    receive_bucket,
    send_to_buckets,
)
from packer.clusterplan.placing import (
    CutContext,
    PartContext,
    PlaceContext,
    copy_part,
    cut_split,
    digest_split,
    num_parts,
    receive_part,
    send_to_parts,
    stage_split_places,
)
from packer.clusterplan.row_items import ItemMaker, RowFacts
from packer.clusterplan.staging import Staging, sum_before
from packer.dataset.itemcheck import check_fields
from packer.dataset.planfile import PlanDocument
from packer.dedupe import conflict_error, none_left, tell_copies
from packer.engines.engine import ExchangingEngine
from packer.errors import WorkerError
from packer.formats.features import check_extra_names
from packer.measuring import Measured, check_largest, measure
from packer.options import PackOptions
from packer.packing.encoder import EncoderSpec, report_encoder
from packer.plan_request import limit_line, plan_document, plan_request, tell_findings
from packer.planning.class_findings import ClassCounts
from packer.planning.layout import plan_part_key, planned_copies_key
from packer.planning.plan import (
    PlanHeader,
    PlannedFacts,
    PlannedSplit,
    PlanRequest,
    build_header,
    check_split_names,
    check_stratify,
    digest_of_splits,
    extra_names,
    plan_id_of,
    plan_split,
)
from packer.planning.shard_count import choose_num_shards, estimate_size
from packer.planning.splits import split_counts
from packer.run import Run
from packer.specs import OnConflict
from packer.stores.open_store import share_options
from packer.stores.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """A plan whose files are staged."""

    plan_id: str
    header: PlanHeader
    source_bytes: int
    engine: ExchangingEngine
    staging: Staging
    has_copies: bool

    def put_parts(self, store: Store) -> list[str]:
        """Let workers copy the staged files to the destination; return their keys there."""
        keys = [
            plan_part_key(self.plan_id, split.name, part)
            for split in self.header.splits
            for part in range(num_parts(split))
        ]
        context = PartContext(staging=self.staging, keys=tuple(keys), claim=store.claim)
        list(self.engine.run(copy_part, context, range(len(keys)), ignore))
        if self.has_copies:
            keys.append(planned_copies_key(self.plan_id))
            store.put(keys[-1], [self.staging.get_bytes(SETS)])
        return keys


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ordered:
    """Buckets of items in hash order; implements `packer.measuring.Ordered`."""

    staging: Staging
    facts: Sequence[BucketFacts]
    """Facts of each bucket, in the order of buckets."""
    has_copies: bool = False
    """Copies were found and left out."""

    @property
    def num_rows(self) -> int:
        return sum(bucket.num_items for bucket in self.facts)

    @property
    def first_ranks(self) -> tuple[int, ...]:
        return sum_before([bucket.num_items for bucket in self.facts])

    @property
    def filled(self) -> list[int]:
        return [bucket.bucket for bucket in self.facts if bucket.num_items]

    @property
    def schema(self) -> pa.Schema:
        return next(bucket.schema for bucket in self.facts if bucket.schema is not None)

    def slice(self, offset: int, length: int) -> pa.Table:
        """Return up to `length` items from `offset` on, all of one bucket: fewer at the bucket's end."""
        firsts = self.first_ranks
        bucket = next(number for number in self.filled if firsts[number] + self.facts[number].num_items > offset)
        return self.staging.get(self.staging.bucket_name(bucket)).slice(offset - firsts[bucket], length)


def plan_rows(
    run: Run[PackOptions], engine: ExchangingEngine, staging: Staging, maker: ItemMaker, rows: Sequence[RowFacts]
) -> tuple[ClusterPlan, PlanDocument]:
    """Plan staged rows. The plan's files stay staged until `ClusterPlan.put_parts`.

    Raises as `packer.prepare.make_plan`.
    """
    options = run.options
    for notice in maker.roles.notices:
        run.progress.note(notice)
    check_extra_names(maker.roles.extras)
    check_fields(maker.fields, options.format)
    with run.progress.phase("planning", total=None):
        ordered = _order(run, engine, staging, maker, rows)
    if options.dedupe:
        ordered = _without_copies(run, engine, ordered, maker)
    place = Measured(place=maker.place, class_names=maker.class_names, fields=maker.fields)
    measured = measure(ordered, place, run)
    asked = EncoderSpec(image=options.image_spec(), format=options.format)
    (encoder,) = engine.run(report_encoder, asked, [0], run.progress.advance)
    request = plan_request(
        options, encoder, label_kind=maker.label_kind, class_names=maker.class_names, fields=maker.fields
    )
    with run.progress.phase("planning", total=None):
        planned = _Planning(engine, ordered, request).plan(measured, keeps_all=options.image_spec().keeps_all)
        tell_findings(run, planned.header, planned.classes)
        digest: str | msgspec.UnsetType = msgspec.UNSET
        if ordered.has_copies:
            names = tuple(split.name for split in planned.header.splits)
            context = SetsContext(staging=ordered.staging, split_names=names, num_buckets=len(ordered.facts))
            digest = stage_sets(engine, context)
    plan = ClusterPlan(
        plan_id=plan_id_of(planned.header),
        header=planned.header,
        source_bytes=sum(bucket.source_bytes for bucket in ordered.facts),
        engine=engine,
        staging=ordered.staging,
        has_copies=ordered.has_copies,
    )
    return plan, plan_document(plan, options, encoder=encoder, source_root=maker.place, copies_sha256=digest)


def _order(
    run: Run[PackOptions], engine: ExchangingEngine, staging: Staging, maker: ItemMaker, rows: Sequence[RowFacts]
) -> _Ordered:
    limit, num_rows = run.options.limit, sum(part.num_rows for part in rows)
    if limit is not None and limit >= num_rows:
        limit = None
    num = num_buckets(num_rows)
    context = OrderContext(
        staging=staging,
        parts=tuple(part.name for part in rows),
        maker=maker,
        seed=run.options.seed,
        format=run.options.format,
        num_buckets=num,
        limit=limit,
    )
    found = engine.exchange(send_to_buckets, receive_bucket, context, senders=len(rows), receivers=num)
    facts = sorted(found, key=lambda bucket: bucket.bucket)
    if limit is not None:
        run.progress.note(limit_line(limit, num_rows))
        facts = limit_buckets(engine, context, facts)
    return _Ordered(staging=staging, facts=facts)


def _without_copies(run: Run[PackOptions], engine: ExchangingEngine, ordered: _Ordered, maker: ItemMaker) -> _Ordered:
    options = run.options
    context = CopyContext(
        staging=ordered.staging,
        source_root=maker.place,
        source_store=share_options(maker.place, options.source_store()),
        on_conflict=options.on_conflict,
        first_ranks=ordered.first_ranks,
    )
    with run.progress.phase("comparing", total=None):
        found, facts = drop_copies_on(engine, context)
    num_conflicts, num_copies = sum(each.num_conflicts for each in found), sum(each.num_copies for each in found)
    if num_conflicts and options.on_conflict is OnConflict.FAIL:
        examples = sorted(example for each in found for example in each.examples)
        raise conflict_error(num_conflicts, [text for _, text in examples])
    if not any(bucket.num_items for bucket in facts):
        raise none_left(run)
    tell_copies(run, num_left_out=sum(each.num_left_out for each in found), num_conflicts=num_conflicts)
    return _Ordered(staging=distinct(ordered.staging), facts=facts, has_copies=num_copies > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    header: PlanHeader
    classes: ClassCounts


class _Planning:
    """The steps from buckets to a header."""

    def __init__(self, engine: ExchangingEngine, ordered: _Ordered, request: PlanRequest) -> None:
        self._engine, self._ordered, self._request = engine, ordered, request
        self._staging, self._num_buckets = ordered.staging, len(ordered.facts)

    def plan(self, measured: list[int], *, keeps_all: bool) -> _Planned:
        """Assign all items to splits and shards, and return the plan's header. Raises OptionsError as `build_plan`."""
        check_stratify(self._request)
        names, classes = self._census()
        assigned = self._assign(names, classes)
        counts = [sum(each.of_split(index) for each in assigned) for index in range(len(names))]
        added_bytes = sum(measured) // len(measured) if keeps_all else None
        num_shards = self._num_shards(names, counts, measured, added_bytes)
        splits = tuple(
            plan_split(name, count, shards, self._request.sharding)
            for name, count, shards in zip(names, counts, num_shards, strict=True)
        )
        self._place(splits, assigned, classes, is_cut=keeps_all)
        mean = estimate_size(measured).mean_bytes if added_bytes is None else self._mean_kept(added_bytes)
        by_class = _classes_of(names, assigned) if self._request.label_kind == "class" else {}
        facts = PlannedFacts(
            mean_record_bytes=mean,
            highest_class=max((label for split in by_class.values() for label in split), default=-1),
            extra_names=extra_names(self._ordered.schema.empty_table()),
            items_sha256=digest_of_splits(self._digests(splits)),
        )
        return _Planned(header=build_header(splits, facts, self._request), classes=by_class)

    def _census(self) -> tuple[list[str], tuple[int, ...]]:
        """Return the splits' names, and the classes if items are distributed by class; stage the classes' positions."""
        request = self._request
        context = CensusContext(
            staging=self._staging, split_column=request.split_column, by_class=request.sharding.stratify
        )
        if request.split_column is None and not request.sharding.stratify:
            return [split.name for split in request.splits], ()
        censuses = list(self._engine.run(take_census, context, self._ordered.filled, ignore))
        classes = stage_places(self._staging, censuses, self._num_buckets) if request.sharding.stratify else ()
        if request.split_column is None:
            return [split.name for split in request.splits], classes
        return check_split_names({name for census in censuses for name in census.split_names}), classes

    def _assign(self, names: list[str], classes: tuple[int, ...]) -> list[Assigned]:
        """Stage each item's split; return the counts of each bucket that has items, in the order of buckets."""
        request, firsts = self._request, self._ordered.first_ranks
        counts: tuple[int, ...] = ()
        if request.split_column is None:
            counts = tuple(split_counts(self._ordered.num_rows, request.splits))
            if request.group_column is not None:
                context = GroupContext(
                    staging=self._staging, column=request.group_column, first_ranks=firsts, counts=counts
                )
                assign_groups(self._engine, context)
        assigning = AssignContext(
            staging=self._staging,
            request=request,
            split_names=tuple(names),
            counts=counts,
            first_ranks=firsts,
            classes=classes,
        )
        assigned = self._engine.run(assign_bucket, assigning, self._ordered.filled, ignore)
        return sorted(assigned, key=lambda each: each.bucket)

    def _num_shards(
        self, names: list[str], counts: list[int], measured: list[int], added_bytes: int | None
    ) -> list[int]:
        if added_bytes is None:
            estimate = estimate_size(measured)
            return [choose_num_shards(count, estimate, self._request.sharding) for count in counts]
        largest = max((bucket.largest for bucket in self._ordered.facts), key=lambda found: found[0])
        check_largest(largest[1], largest[0], added_bytes=added_bytes)
        context = CutContext(
            staging=self._staging,
            num_buckets=self._num_buckets,
            split_names=tuple(names),
            added_bytes=added_bytes,
            sharding=self._request.sharding,
        )
        found = dict(self._engine.run(cut_split, context, range(len(names)), ignore))
        return [found[index] for index in range(len(names))]

    def _mean_kept(self, added_bytes: int) -> int:
        num_items = self._ordered.num_rows
        total = sum(bucket.source_bytes for bucket in self._ordered.facts) + added_bytes * num_items
        return max(1, total // num_items)

    def _place(
        self, splits: tuple[PlannedSplit, ...], assigned: list[Assigned], classes: tuple[int, ...], *, is_cut: bool
    ) -> None:
        """Stage the plan's files."""
        if self._request.sharding.stratify:
            for index in range(len(splits)):
                stage_split_places(self._staging, assigned, index, classes, self._num_buckets)
        sizes = [[each.of_split(index) for index in range(len(splits))] for each in assigned]
        before = [sum_before(column) for column in zip(*sizes, strict=True)]
        firsts = {each.bucket: [column[row] for column in before] for row, each in enumerate(assigned)}
        context = PlaceContext(
            staging=self._staging,
            schema=self._ordered.schema.append(pa.field("shard", pa.int32())),
            splits=splits,
            stratify=self._request.sharding.stratify,
            first_ranks=firsts,
            bucket_ranks=self._ordered.first_ranks,
            classes=classes,
            is_cut=is_cut,
            arrow_version=pa.__version__,
        )
        parts = sum(num_parts(split) for split in splits)
        found = self._engine.exchange(send_to_parts, receive_part, context, senders=self._num_buckets, receivers=parts)
        num_placed, num_items = sum(found), self._ordered.num_rows
        if num_placed != num_items:
            raise WorkerError(f"planning lost items: expected {num_items:,}, found {num_placed:,}; run it again")
        self._context = context

    def _digests(self, splits: tuple[PlannedSplit, ...]) -> list[str]:
        digests = dict(self._engine.run(digest_split, self._context, range(len(splits)), ignore))
        return [digests[index] for index in range(len(splits))]


def _classes_of(names: list[str], assigned: list[Assigned]) -> ClassCounts:
    counts: dict[str, Counter[int]] = {name: Counter() for name in names}
    for each in assigned:
        for (index, label), count in each.counts.items():
            counts[names[index]][label] += count
    return counts


def ignore(num_items: int, num_bytes: int) -> None:
    """Ignore progress, for steps that are not counted in items."""
