"""What happens to the data, from top to bottom. Start reading here.

    list -> probe -> plan        (prepare.py)  -> claim -> pack, one task = one shard -> commit

`make_dataset` takes these steps; a Recipe says how each is done: `pack` has one here, `reshard` one in resharding.py.
None of it knows how images, containers, places or engines work.
"""

from __future__ import annotations

import functools
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import msgspec

from packer.channels.key_lists import key_lists_of
from packer.clusterplan.staging import StagingArea
from packer.dataset.commit import Closing, Inherited, clear_scaffolding, commit
from packer.dataset.copies import NO_COPIES, CopyCounts, copy_notices, count_copies, load_copies
from packer.dataset.destination import (
    check_command,
    check_destination,
    check_same_options,
    claim_destination,
    find_finished,
    find_outcome,
    join_beside_others,
    join_claim,
    mend_claim,
    remove_other_receipts,
)
from packer.dataset.manifest import Manifest
from packer.dataset.missing_parts import naming_missing_parts
from packer.dataset.planfile import PlanDocument, StagedPlan, is_claim_cut, load_plan
from packer.dataset.reject_limit import is_over, refuse_rejects, stored_rejects
from packer.dataset.report import run_report
from packer.engines.create import create_engine
from packer.engines.engine import Engine
from packer.errors import NotADataSetError, OptionsError, PackerError
from packer.options import PackOptions, parse_options
from packer.packing import TASK_MODULES
from packer.packing.assemble import ShardSummary
from packer.packing.shard import PackContext, pack_shard
from packer.plan_request import lasting_options
from packer.planning.plan import Plan
from packer.prepare import Workspace, make_plan, spill_again
from packer.progress import Progress, SilentProgress
from packer.run import Run, Work, do
from packer.shown_text import counted
from packer.sources.imagerows import Spill
from packer.specs import DEFAULT_STORE, TABLE_PREFIX, OnReject, StoreOptions
from packer.stores.open_store import absolute_uri, check_dest, is_local, open_store, share_options
from packer.stores.store import Store

Context = TypeVar("Context")
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PackResult:
    """What `pack` did."""

    dest: str
    manifest: Manifest | None
    """None after one part of several: `commit_parts` makes the data set when all are done."""
    num_shards: int
    """Shards that are done after this run."""
    num_reused: int
    """Shards of these that an earlier, interrupted run had finished."""
    num_packed: int = 0
    """Images that this run packed or copied."""
    elapsed_s: float = 0.0
    """Seconds that this run took in all."""
    copies: CopyCounts = NO_COPIES
    """Sets of exact copies, once there is a manifest."""

    def __repr__(self) -> str:
        state = "finished" if self.manifest else "one part done"
        return f"<PackResult {self.dest}: {counted(self.num_shards, 'shard')}, {self.num_reused:,} reused, {state}>"


class Recipe(Protocol[Context]):
    """What one kind of run does its own way; the rest is `make_dataset`."""

    @property
    def command(self) -> str:
        """``pack`` or ``reshard``: who alone can go on with its plan."""

    def plan(self, run: Run[PackOptions]) -> tuple[Plan | StagedPlan, PlanDocument]:
        """Look at the source and plan. Nothing is written."""

    def work(self, run: Run[PackOptions], document: PlanDocument) -> Work[Context, ShardSummary]:
        """Return the tasks that make the shards of a plan, or this run's part of them."""

    def closing(self, run: Run[PackOptions], document: PlanDocument, run_report: bytes) -> Closing:
        """Return how the run ends."""


def pack(
    options: PackOptions, *, engine: Engine | None = None, progress: Progress | None = None, dataframe: Any = None
) -> PackResult:
    """Pack a source into a data set, or one part of its shards.

    Args:
        options: what to do.
        engine: runs the tasks; by default the one that the options name, closed at the end.
        progress: is told of phases and of items done.
        dataframe: a DataFrame of Spark with a row for each image, which is computed once; the options' `source` is then
            ``table:`` and a name for messages.

    Raises:
        OptionsError: options or input that must be mended; nothing was written.
        PackerError: the work failed; what was packed stays for ``resume``.
    """
    with open_run(options, engine=engine, progress=progress) as run, Spill() as spill, StagingArea() as area:
        return make_dataset(run, _Packing(Workspace(spill=spill, area=area, frame=dataframe)))


@contextmanager
def open_run(options: PackOptions, *, engine: Engine | None, progress: Progress | None) -> Iterator[Run[PackOptions]]:
    """Give a run of the options. An engine that is not given is started, and closed at the end.

    Raises OptionsError where the places cannot be those of one run.
    """
    started = time.time()
    check_places(options)
    dest = open_store(options.dest, options.dest_store())
    own = engine or create_engine(options.engine, options.workers, modules=TASK_MODULES)
    progress = progress or SilentProgress()
    for notice in getattr(own, "notices", ()):
        progress.note(notice)
    try:
        yield Run(
            options=options,
            engine=own,
            progress=progress,
            source=options.source,
            dest=dest,
            started=started,
        )
    finally:
        if engine is None:
            own.close()


def make_dataset(run: Run[PackOptions], recipe: Recipe[Context]) -> PackResult:
    """Make a data set, or go on with one that another run began: plan -> claim -> shards -> commit.

    What another run of the same plan has done, before this one or at the same time, is what this one returns.

    Raises:
        ClaimLostError: a run of another plan has taken the destination over.
        OptionsError: options or input that must be mended; nothing was written.
        PackerError: the work failed; what was done stays for ``resume``.
    """
    document, dest = _claimed_plan(run, recipe)
    run = replace(run, dest=dest)
    _LOGGER.info("%s: plan %s, %d shards", dest.uri, document.plan_id, document.header.num_tasks)
    finished = find_finished(dest, document)
    if finished is None:
        try:
            return _make_shards(run, recipe, document)
        except (PackerError, OSError):
            finished = find_outcome(dest, document)
            if finished is None:
                raise
    else:
        clear_scaffolding(dest, document, run.progress)
    num_shards = document.header.num_tasks
    copies = _count_copies(dest, run.progress)
    return PackResult(dest=dest.uri, manifest=finished, num_shards=num_shards, num_reused=num_shards, copies=copies)


def _note_space(dest: Store, document: PlanDocument, progress: Progress) -> None:
    """Note where a local destination has less space than the plan's records are likely to take."""
    if not is_local(dest.uri):
        return
    header = document.header
    num_bytes = sum(split.num_items + split.num_fills for split in header.splits) * header.mean_record_bytes
    missing = num_bytes - sum(info.num_bytes for info in dest.list()) - shutil.disk_usage(dest.uri).free
    if missing > 0:
        progress.note(
            f"{dest.uri}: the shards will take about {num_bytes / 1e6:,.0f} MB, which is {missing / 1e6:,.1f} MB more "
            f"than is free there; make room while it packs: a run that finds none stops, and goes on with `resume=True`"
        )


def _make_shards(run: Run[PackOptions], recipe: Recipe[Context], document: PlanDocument) -> PackResult:
    """Make the shards of a plan, or this run's part of them, and of all of them a data set."""
    with _leaving_nothing_half_written(run):
        _note_space(run.dest, document, run.progress)
        summaries = do(run, recipe.work(run, document))
        num_reused = sum(summary.reused for summary in summaries)
        manifest, copies = None, NO_COPIES
        if run.options.part is None:
            report = run_report(run.options, started=run.started, num_reused=num_reused)
            manifest = commit(run.dest, document, recipe.closing(run, document, report))
            clear_scaffolding(run.dest, document, run.progress)
            copies = _count_copies(run.dest, run.progress)
    return PackResult(
        dest=run.dest.uri,
        manifest=manifest,
        num_shards=len(summaries),
        num_reused=num_reused,
        num_packed=sum(summary.num_records for summary in summaries if not summary.reused),
        elapsed_s=time.time() - run.started,
        copies=copies,
    )


def _count_copies(dest: Store, progress: Progress) -> CopyCounts:
    """Return how many exact copies a finished data set has, and warn of those that harm training."""
    copies = count_copies(load_copies(dest))
    for notice in copy_notices(copies):
        progress.note(notice)
    return copies


def count_reused(run: Run[PackOptions], document: PlanDocument, summary: ShardSummary) -> None:
    """Count the items of a shard that was there already as done."""
    if summary.reused:
        split, shard_index = document.header.locate(summary.task)
        run.progress.reuse(split.num_items_of(shard_index))


class _Packing:
    """The Recipe of `pack`."""

    command = "pack"

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def plan(self, run: Run[PackOptions]) -> tuple[Plan | StagedPlan, PlanDocument]:
        return make_plan(run, self._workspace)

    def work(self, run: Run[PackOptions], document: PlanDocument) -> Work[PackContext, ShardSummary]:
        options, header = run.options, document.header
        if self._workspace.area is not None:
            self._workspace.area.clear(run.dest)
        spill_again(options, self._workspace.spill)
        place = self._workspace.spill.root or document.source_root
        context = PackContext(
            plan=msgspec.structs.replace(document, source_root=place),
            source_store=share_options(place, options.source_store()),
            dest=run.dest.uri,
            dest_store=share_options(run.dest.uri, options.dest_store()),
            item_limit_s=options.item_timeout,
            claim=run.dest.claim,
            fail_on_reject=options.on_reject is OnReject.FAIL,
            resume=options.resume or options.part is not None,
        )
        num_rejects, num_planned = 0, sum(split.num_items for split in header.splits)

        def count_rejects(summary: ShardSummary) -> None:
            nonlocal num_rejects
            count_reused(run, document, summary)
            num_rejects += summary.num_rejects
            run.progress.reject(summary.num_rejects)
            if is_over(num_rejects, num_planned, options.max_rejects):
                refuse_rejects(run.dest, stored_rejects(run.dest, document), num_planned, options.max_rejects)

        tasks = options.tasks_of_part(header.num_tasks)
        located = (header.locate(task) for task in tasks)
        num_items = sum(split.num_items_of(shard_index) for split, shard_index in located)
        return Work(
            phase="packing",
            num_items=num_items,
            function=pack_shard,
            context=context,
            tasks=tasks,
            look_at=count_rejects,
        )

    def closing(self, run: Run[PackOptions], document: PlanDocument, run_report: bytes) -> Closing:
        return closing(document, run.options.max_rejects, run_report)


def commit_parts(
    uri: str,
    store: StoreOptions = DEFAULT_STORE,
    *,
    max_rejects: float | str | None = None,
    progress: Progress | None = None,
) -> PackResult:
    """Make a data set of shards that several runs with ``part`` packed.

    Args:
        uri: the destination.
        store: how a remote place is reached.
        max_rejects: share of the items, from 0 to 1, that may have been rejected; by default that of the first part.
        progress: is told of what could not be tidied up.

    Raises:
        NotADataSetError: the destination has no plan.
        OptionsError: its plan is not one of `pack`, or `max_rejects` is no share.
        DataSetError: shards are missing.
        TooManyRejectsError: more items were rejected than `max_rejects` allows.
    """
    dest = open_store(uri, store)
    document = load_plan(dest)
    if document is None:
        raise NotADataSetError(
            f"{dest.uri}: expected the shards of pack `part`, but there is no plan; run pack there with `part=0/N` to "
            f"`part=N-1/N` first"
        )
    own = {} if max_rejects is None else {"max_rejects": max_rejects}
    options = parse_options({**document.options, **own, "dest": uri})
    dest = join_claim(dest, document)
    manifest = find_finished(dest, document)
    if manifest is None:
        check_command(dest, document, "pack")
        report = run_report(options, started=time.time(), num_reused=0)
        with naming_missing_parts(dest, document):
            manifest = commit(dest, document, closing(document, options.max_rejects, report))
    progress = progress or SilentProgress()
    clear_scaffolding(dest, document, progress)
    copies = _count_copies(dest, progress)
    num_shards = document.header.num_tasks
    return PackResult(dest=dest.uri, manifest=manifest, num_shards=num_shards, num_reused=0, copies=copies)


def closing(
    document: PlanDocument, max_rejects: float, run_report: bytes, inherited: Inherited | None = None
) -> Closing:
    """Return how a run of a plan ends: in S3, with lists of shards for the instances that it was made for."""
    local_size = parse_options({**document.options, "dest": "any"}).local_size
    return Closing(
        max_rejects=max_rejects,
        run_report=run_report,
        inherited=inherited,
        companions=functools.partial(key_lists_of, local_size=local_size),
    )


def check_places(options: PackOptions) -> None:
    """Raise OptionsError where the destination lies in the source, or around it, or cannot be written safely."""
    check_dest(options.dest)
    if options.source.startswith(TABLE_PREFIX):
        return
    source, dest = (_real_place(uri) for uri in (options.source, options.dest))
    source_base, dest_base = source.rstrip("/") + "/", dest.rstrip("/") + "/"
    if dest_base.startswith(source_base) or source_base.startswith(dest_base):
        inside = "inside the source" if dest_base.startswith(source_base) else "around the source"
        raise OptionsError(
            f"expected a folder apart from the source, got {options.dest}, which is {inside}", field="dest"
        )
    if is_local(dest) and not os.path.isdir(dest) and os.path.lexists(dest):
        raise OptionsError(f"expected a folder that is new or empty, got the file {options.dest}", field="dest")


def _real_place(uri: str) -> str:
    return os.path.realpath(absolute_uri(uri)) if is_local(uri) else absolute_uri(uri)


def _claimed_plan(run: Run[PackOptions], recipe: Recipe[Context]) -> tuple[PlanDocument, Store]:
    """Return the plan that the destination is claimed for, a stored one to go on with or a new one, and the claim."""
    options, dest = run.options, run.dest
    is_shared = options.part is not None
    if options.resume or is_shared:
        if is_claim_cut(dest):
            mend_claim(dest, *recipe.plan(run))
        stored = load_plan(dest)
        if stored is not None:
            check_command(dest, stored, recipe.command)
            check_same_options(dest, stored, lasting_options(options))
            dest = join_beside_others(dest, stored) if is_shared else join_claim(dest, stored)
            remove_other_receipts(dest, stored)
            if options.resume:
                _sweep(replace(run, dest=dest))
            return stored, dest
    if not is_shared:  # before any work that would be for nothing
        check_destination(dest, overwrite=options.overwrite)
    plan, document = recipe.plan(run)
    return document, claim_destination(dest, plan, document, overwrite=options.overwrite, shared=is_shared)


@contextmanager
def _leaving_nothing_half_written(run: Run[PackOptions]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):  # workers are in the middle of their tasks
            run.engine.close()
        _sweep(run)
        raise


def _sweep(run: Run[PackOptions]) -> None:
    """Remove what interrupted writes left, unless other parts may be writing at this moment."""
    if run.options.part is None:
        run.dest.sweep()
