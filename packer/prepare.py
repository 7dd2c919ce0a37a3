"""The first half of a run: list -> (dedupe) -> probe -> plan. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, overload

import msgspec
import pyarrow as pa

from packer.clusterplan.staging import StagingArea
from packer.dataset.copies import CopiedItem, copies_digest
from packer.dataset.itemcheck import check_fields, check_items
from packer.dataset.near_list import count_near, near_digest, near_line
from packer.dataset.planfile import PlanDocument, StagedPlan
from packer.dedupe import drop_copies, planned_copies
from packer.engines.engine import ExchangingEngine
from packer.engines.spark_frame import find_frame
from packer.errors import OptionsError, SourceError
from packer.formats.features import check_extra_names
from packer.measuring import Measured, kept_sizes, measure
from packer.near_duplicates import Lookalikes, find_lookalikes, list_lookalikes
from packer.options import PackOptions
from packer.packing.encoder import EncoderSpec, report_encoder
from packer.plan_request import limit_line, plan_document, plan_request, tell_findings
from packer.planning.balance import KnownSizes
from packer.planning.class_findings import planned_classes
from packer.planning.order import hash_order
from packer.planning.plan import Plan, build_plan, extra_names
from packer.planning.reordered import Reordered
from packer.planning.shard_count import SizeEstimate, estimate_size
from packer.run import Run
from packer.sources.imagerows import Spill, spill_rows
from packer.sources.items import KEY, Listing, SourceSpec
from packer.sources.members import SPILLED
from packer.sources.open_source import find_rows, list_source
from packer.specs import TABLE_PREFIX, EngineName


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What a run has beside its options, for as long as it lasts."""

    spill: Spill = field(default_factory=Spill)
    """For images in rows, where packing then finds them."""
    area: StagingArea | None = None
    """For planning on workers."""
    frame: Any = None
    """A DataFrame of Spark that is the source."""


@overload
def make_plan(run: Run[PackOptions], workspace: None = None) -> tuple[Plan, PlanDocument]: ...


@overload
def make_plan(run: Run[PackOptions], workspace: Workspace) -> tuple[Plan | StagedPlan, PlanDocument]: ...


def make_plan(run: Run[PackOptions], workspace: Workspace | None = None) -> tuple[Plan | StagedPlan, PlanDocument]:
    """List the source, measure some of its items and plan.

    Images in rows go into the workspace's spill; without a workspace, into a folder of their own for as long as this
    takes. A table of Spark, or a Parquet listing, is planned on the engine's workers where they can exchange rows.

    Raises:
        SourceError: there is no source, nothing in it, or nothing in it that can be packed.
        OptionsError: the items do not fit the container, or cannot be cut evenly as asked.
    """
    if workspace is None:
        with Spill() as spill:
            return _plan_here(run, spill)
    if workspace.frame is not None and not run.options.source.startswith(TABLE_PREFIX):
        problem = f"expected `{TABLE_PREFIX}` and a name beside a DataFrame, found {run.options.source}"
        raise OptionsError(problem, field="source")
    if (planned := _plan_on_workers(run, workspace, _source_spec(run.options))) is not None:
        return planned
    return _plan_here(run, workspace.spill)


def _plan_here(run: Run[PackOptions], spill: Spill) -> tuple[Plan, PlanDocument]:
    ready = list_items(run, spill)
    measured = measure(ready.ordered, ready.measured_place, run)
    return plan_listed(run, ready, measured)


def _plan_on_workers(
    run: Run[PackOptions], workspace: Workspace, spec: SourceSpec
) -> tuple[StagedPlan, PlanDocument] | None:
    """Plan the tables that workers can read; None for every other source."""
    engine, area = run.engine, workspace.area
    is_table = spec.source.startswith(TABLE_PREFIX)
    if area is None or not isinstance(engine, ExchangingEngine):
        return None
    options = run.options
    if options.near_duplicates:
        if is_table:
            problem = "expected none for a table of Spark; write its rows to Parquet files first"
            raise OptionsError(problem, field="near_duplicates")
        return None
    # A tenth of the time that a run on one machine takes to start.
    from packer.clusterplan.cluster_planner import plan_rows
    from packer.clusterplan.row_items import plan_items
    from packer.clusterplan.staged_rows import find_listing, stage_files, stage_frame

    listing = None if is_table else find_listing(spec)
    if not is_table and listing is None:
        return None
    staging = area.new(run.dest, run.options.dest_store())
    images = area.new_images(staging)
    with run.progress.phase("listing", total=None):
        if listing is not None:
            staged = stage_files(engine, staging, listing, spec)
        else:
            frame = find_frame(spec.source.removeprefix(TABLE_PREFIX)) if workspace.frame is None else workspace.frame
            staged = stage_frame(staging, images, frame, spec)
    for notice in staged.notices:
        run.progress.note(notice)
    if run.options.part is not None and any(SPILLED in facts.schema.names for facts in staged.facts):
        raise OptionsError("expected none for images in the rows of a table, which each part would move", field="part")
    maker = plan_items(staged.facts, spec, folder=None if listing is None else listing.folder, images=images)
    return plan_rows(run, engine, staging, maker, staged.facts)


def _list(run: Run[PackOptions], place: Spill) -> Listing:
    """List the source and tell how many images are found, while they are."""
    num_found = 0

    def found(num_images: int) -> None:
        nonlocal num_found
        num_found += num_images
        run.progress.advance(num_images, 0)

    listing = list_source(replace(_source_spec(run.options), found=found), place)
    run.progress.advance(max(0, listing.items.num_rows - num_found), 0)
    pa.default_memory_pool().release_unused()
    return listing


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyItems:
    """A listed source: what is planned of it, before anything is measured."""

    listing: Listing
    ordered: Reordered
    """In hash order, no more than the limit."""
    copied: tuple[CopiedItem, ...] = ()
    """Exact copies that were left out."""
    lookalikes: Lookalikes | None = None
    """Pictures that look alike, where they were sought."""

    @property
    def measured_place(self) -> Measured:
        """Where items are read."""
        listing = self.listing
        return Measured(place=listing.place, class_names=listing.class_names, fields=listing.fields)


def list_items(run: Run[PackOptions], spill: Spill) -> ReadyItems:
    """List the source and put what was found into hash order.

    Raises:
        SourceError: there is no source, or nothing in it.
        OptionsError: the items do not fit the container.
    """
    options = run.options
    if options.source.startswith(TABLE_PREFIX):
        raise SourceError(f"{options.source}: a table of Spark can be packed with `engine=spark` alone")
    with run.progress.phase("listing", total=None):
        listing = _list(run, spill)
    check_engine(options, spill)
    for notice in listing.notices:
        run.progress.note(notice)
    check_extra_names(extra_names(listing.items))
    ordered = Reordered.of(listing.items).pick(hash_order(listing.items.column(KEY), seed=options.seed))
    if options.limit is not None and options.limit < ordered.num_rows:
        run.progress.note(limit_line(options.limit, ordered.num_rows))
        ordered = ordered.head(options.limit)
    check_container(options, listing, ordered)
    copied: tuple[CopiedItem, ...] = ()
    if options.dedupe:
        deduped = drop_copies(ordered, listing, run)
        ordered, copied = deduped.items, deduped.copied
    lookalikes = find_lookalikes(ordered, listing, run) if options.near_duplicates else None
    return ReadyItems(listing=listing, ordered=ordered, copied=copied, lookalikes=lookalikes)


def check_container(options: PackOptions, listing: Listing, ordered: Reordered) -> None:
    """Raise OptionsError where the items do not fit the container."""
    check_items(ordered, options.format)
    check_fields(listing.fields, options.format)


def plan_listed(run: Run[PackOptions], ready: ReadyItems, measured: list[int]) -> tuple[Plan, PlanDocument]:
    """Plan listed items from the sizes that `measure` found of some of them. Raises as `build_plan`."""
    options, listing, ordered = run.options, ready.listing, ready.ordered
    sizes: SizeEstimate | KnownSizes = estimate_size(measured)
    if options.image_spec().keeps_all:
        sizes = kept_sizes(ordered, added_bytes=sum(measured) // len(measured))
    asked = EncoderSpec(image=options.image_spec(), format=options.format)
    (encoder,) = run.engine.run(report_encoder, asked, [0], run.progress.advance)
    request = plan_request(
        options, encoder, label_kind=listing.label_kind, class_names=listing.class_names, fields=listing.fields
    )
    found = ready.lookalikes
    plan = build_plan(ordered, sizes, request, groups=None if found is None else found.split_groups)
    tell_findings(run, plan.header, planned_classes(plan))
    if ready.copied:
        plan = replace(plan, copies=planned_copies(ready.copied, plan))
    digest = msgspec.UNSET if plan.copies is None else copies_digest(plan.copies)
    document = plan_document(plan, options, encoder=encoder, source_root=listing.root, copies_sha256=digest)
    if found is not None:
        near = list_lookalikes(found, plan)
        run.progress.note(near_line(count_near(near)))
        plan = replace(plan, near=near)
        document = msgspec.structs.replace(document, near_sha256=near_digest(near))
    return plan, document


def spill_again(options: PackOptions, spill: Spill) -> None:
    """Put the images of rows into `spill` for a run that goes on with a stored plan; nothing for other sources."""
    if spill.root is not None or not (options.resume or options.part is not None):
        return
    files = find_rows(_source_spec(options))
    if files is not None:
        spill_rows(files, spill)
        check_engine(options, spill)


def check_engine(options: PackOptions, spill: Spill) -> None:
    """Raise SourceError where images lie in a folder of this machine that the engine's others do not see."""
    if spill.root is not None and options.engine is EngineName.SPARK:
        raise SourceError(
            f"{options.source}: expected `engine=local` for images in the rows of files, which are spilled to this "
            "machine's disk, got `engine=spark`; or write the images to files first"
        )


def _source_spec(options: PackOptions) -> SourceSpec:
    return SourceSpec(
        source=options.source,
        label_column=options.label_column,
        key_column=options.key_column,
        root=options.root,
        flat=options.flat,
        split_folders=options.split_folders,
        class_map=options.class_map,
        fields=options.fields(),
        store=options.source_store(),
    )
