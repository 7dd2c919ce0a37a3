"""THE way of the data, top to bottom. Start reading here.

    list -> probe -> plan        (prepare.py)  -> claim -> pack, one task = one shard -> commit

None of it knows how images, containers, places or engines work.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from packer.channels.key_lists import key_lists_of
from packer.dataset.commit import Closing, Inherited, check_rejects, clear_scaffolding, commit
from packer.dataset.destination import (
    check_destination,
    check_is_pack,
    check_same_options,
    claim_destination,
    find_finished,
    find_outcome,
    join_claim,
    mend_claim,
)
from packer.dataset.manifest import Manifest
from packer.dataset.planfile import PlanDocument, is_claim_cut, load_plan
from packer.dataset.report import run_report
from packer.engines.create import create_engine
from packer.engines.engine import Engine
from packer.errors import NotADataSetError, OptionsError, PackerError
from packer.options import PackOptions, parse_options
from packer.packing import TASK_MODULES
from packer.packing.assemble import ShardSummary
from packer.packing.shard import PackContext, pack_shard
from packer.prepare import lasting_options, make_plan
from packer.progress import Progress, SilentProgress
from packer.specs import DEFAULT_STORE, OnReject, StoreOptions
from packer.stores.open_store import absolute_uri, check_dest, is_local, open_store, share_options
from packer.stores.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class PackResult:
    """What `pack` did."""

    dest: str
    manifest: Manifest | None
    """None after one part of several: `commit_parts` makes the data set when all are done."""
    num_shards: int
    """Shards that are done after this run."""
    num_reused: int
    """Shards of these that an earlier, interrupted run had finished."""


def pack(options: PackOptions, *, engine: Engine | None = None, progress: Progress | None = None) -> PackResult:
    """Pack a source into a data set, or one part of its shards.

    Args:
        options: what to do.
        engine: runs the tasks; by default the one that the options name, closed at the end.
        progress: is told of phases and of items done.

    Raises:
        OptionsError: options or input that must be mended; nothing was written.
        PackerError: the work failed; what was packed stays for ``resume``.
    """
    progress = progress or SilentProgress()
    started = time.time()
    check_places(options)
    dest = open_store(options.dest, options.dest_store())
    with engine_of(options, engine) as engine:
        document, dest = _claimed_plan(dest, options, engine, progress)

        def work() -> PackResult:
            with _leaving_nothing_half_written(dest, options, engine):
                summaries = _pack_shards(document, dest, options, engine, progress)
                num_reused = sum(summary.reused for summary in summaries)
                manifest = None
                if options.part is None:
                    report = run_report(options, started=started, num_reused=num_reused)
                    manifest = commit(dest, document, closing(document, options.max_rejects, report))
                    clear_scaffolding(dest, document, progress)
            return PackResult(dest=dest.uri, manifest=manifest, num_shards=len(summaries), num_reused=num_reused)

        return do_once(work, dest, document, progress)


def do_once(work: Callable[[], PackResult], dest: Store, document: PlanDocument, progress: Progress) -> PackResult:
    """Do the work of a plan, or return what another run of it has done, before this one or at the same time.

    Raises:
        ClaimLostError: a run of another plan has taken the destination over.
        Exception: whatever `work` raises.
    """
    finished = find_finished(dest, document)
    if finished is None:
        try:
            return work()
        except (PackerError, OSError):
            finished = find_outcome(dest, document)
            if finished is None:
                raise
    else:
        clear_scaffolding(dest, document, progress)
    num_shards = document.header.num_tasks
    return PackResult(dest=dest.uri, manifest=finished, num_shards=num_shards, num_reused=num_shards)


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
        raise NotADataSetError(f"{dest.uri}: expected the shards of pack --part, but there is no plan")
    own = {} if max_rejects is None else {"max_rejects": max_rejects}
    options = parse_options({**document.options, **own, "dest": uri})
    dest = join_claim(dest, document)
    manifest = find_finished(dest, document)
    if manifest is None:
        check_is_pack(dest, document)
        report = run_report(options, started=time.time(), num_reused=0)
        manifest = commit(dest, document, closing(document, options.max_rejects, report))
    clear_scaffolding(dest, document, progress or SilentProgress())
    return PackResult(dest=dest.uri, manifest=manifest, num_shards=document.header.num_tasks, num_reused=0)


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
    source, dest = (_real_place(uri) for uri in (options.source, options.dest))
    source_base, dest_base = source.rstrip("/") + "/", dest.rstrip("/") + "/"
    if dest_base.startswith(source_base) or source_base.startswith(dest_base):
        inside = "inside the source" if dest_base.startswith(source_base) else "around the source"
        raise OptionsError(f"DEST: expected a folder apart from the source, got {options.dest}, which is {inside}")
    if is_local(dest) and not os.path.isdir(dest) and os.path.lexists(dest):
        raise OptionsError(f"DEST: expected a folder that is new or empty, got the file {options.dest}")


def _real_place(uri: str) -> str:
    return os.path.realpath(absolute_uri(uri)) if is_local(uri) else absolute_uri(uri)


@contextmanager
def engine_of(options: PackOptions, given: Engine | None) -> Iterator[Engine]:
    """Give the engine that was passed in, or start the one that the options name and close it at the end."""
    if given is not None:
        yield given
        return
    engine = create_engine(options.engine, options.workers, modules=TASK_MODULES)
    try:
        yield engine
    finally:
        engine.close()


def _claimed_plan(dest: Store, options: PackOptions, engine: Engine, progress: Progress) -> tuple[PlanDocument, Store]:
    """Return the plan that the destination is claimed for, a stored one to go on with or a new one, and the claim."""
    if options.resume or options.part is not None:
        if is_claim_cut(dest):
            plan, document = make_plan(options, engine=engine, progress=progress)
            mend_claim(dest, plan, document)
        stored = load_plan(dest)
        if stored is not None:
            check_is_pack(dest, stored)
            check_same_options(dest, stored, lasting_options(options))
            dest = join_claim(dest, stored)
            if options.resume:
                _sweep(dest, options)
            return stored, dest
    is_shared = options.part is not None
    if not is_shared:  # before any work that would be for nothing
        check_destination(dest, overwrite=options.overwrite)
    plan, document = make_plan(options, engine=engine, progress=progress)
    return document, claim_destination(dest, plan, document, overwrite=options.overwrite, shared=is_shared)


@contextmanager
def _leaving_nothing_half_written(dest: Store, options: PackOptions, engine: Engine) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):  # workers are in the middle of their tasks
            engine.close()
        _sweep(dest, options)
        raise


def _sweep(dest: Store, options: PackOptions) -> None:
    """Remove what interrupted writes left, unless other parts may be writing at this moment."""
    if options.part is None:
        dest.sweep()


def _pack_shards(
    document: PlanDocument, dest: Store, options: PackOptions, engine: Engine, progress: Progress
) -> list[ShardSummary]:
    header = document.header
    context = PackContext(
        plan=document,
        source_store=share_options(document.source_root, options.source_store()),
        dest=dest.uri,
        dest_store=share_options(dest.uri, options.dest_store()),
        item_limit_s=options.item_timeout,
        claim=dest.claim,
        fail_on_reject=options.on_reject is OnReject.FAIL,
        resume=options.resume or options.part is not None,
    )
    tasks = options.tasks_of_part(header.num_tasks)
    summaries: list[ShardSummary] = []
    num_rejects, num_items = 0, sum(split.num_items for split in header.splits)
    with progress.phase("packing", total=_num_items(document, tasks)):
        for summary in engine.run(pack_shard, context, tasks, progress.advance):
            summaries.append(summary)
            num_rejects += summary.num_rejects
            check_rejects(num_rejects, num_items, options.max_rejects, example=f"see {dest.uri}/meta/receipts")
    return summaries


def _num_items(document: PlanDocument, tasks: Sequence[int]) -> int:
    located = (document.header.locate(task) for task in tasks)
    return sum(split.num_items_of(shard_index) for split, shard_index in located)
