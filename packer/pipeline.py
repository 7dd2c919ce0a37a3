"""THE way of the data, top to bottom. Start reading here.

    list -> probe -> plan -> claim -> pack (one task = one shard) -> commit

`pack` runs all of it and `make_plan` the first half. Neither knows how images, containers, places or engines work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from packer.dataset.commit import check_rejects, clear_receipts, commit
from packer.dataset.destination import claim_destination, reopen
from packer.dataset.load import load_manifest
from packer.dataset.model import Manifest
from packer.dataset.planfile import PlanDocument, load_plan
from packer.dataset.report import run_report
from packer.engines.base import Engine
from packer.engines.create import create_engine
from packer.errors import OptionsError, SourceError
from packer.formats.features import check_extra_names
from packer.imaging.fingerprint import encoder_fingerprint
from packer.options import OnReject, PackOptions
from packer.packing.probe import ITEMS_PER_TASK, ProbeContext, ProbedItem, probe_items
from packer.packing.sample import item_rows
from packer.packing.shard import PackContext, ShardSummary, pack_shard
from packer.planning.plan import Plan, PlanRequest, build_plan, extra_names, order_items
from packer.planning.shards import SizeEstimate, estimate_size, num_probes
from packer.progress import Progress, SilentProgress
from packer.sources.items import Listing, SourceSpec
from packer.sources.open import list_source
from packer.stores.base import Store
from packer.stores.open import open_store

_ENGINE_FIELDS = frozenset({"engine", "workers", "resume", "overwrite"})
"""Options that say how a run is done; all others say what it makes, so a resumed run must repeat them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackResult:
    """What `pack` did."""

    dest: str
    manifest: Manifest
    num_reused: int
    """Shards that an earlier, interrupted run had finished."""


def pack(options: PackOptions, *, engine: Engine | None = None, progress: Progress | None = None) -> PackResult:
    """Pack a source into a data set and return its manifest.

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
    dest = open_store(options.dest)
    with _engine(options, engine) as engine:
        try:
            document = _resumed(dest, options)
            if document is None:
                plan, document = make_plan(options, engine=engine, progress=progress)
                claim_destination(dest, plan, document, overwrite=options.overwrite)
            elif (finished := load_manifest(dest, missing_ok=True)) is not None:
                clear_receipts(dest, document.header)
                return PackResult(dest=dest.uri, manifest=finished, num_reused=document.header.num_tasks)
            summaries = _pack_shards(document, dest, options, engine, progress)
        except KeyboardInterrupt:
            engine.close()
            dest.sweep()
            raise
    report = run_report(options, started=started, num_reused=sum(s.reused for s in summaries))
    manifest = commit(dest, document, max_rejects=options.max_rejects, run_report=report)
    return PackResult(dest=dest.uri, manifest=manifest, num_reused=sum(s.reused for s in summaries))


def make_plan(options: PackOptions, *, engine: Engine, progress: Progress) -> tuple[Plan, PlanDocument]:
    """List the source, measure some of its items and plan; nothing is written. Raises as `pack`."""
    with progress.phase("listing", total=None):
        listing = list_source(
            SourceSpec(
                source=options.source,
                label_column=options.label_column,
                key_column=options.key_column,
                root=options.root,
                flat=options.flat,
                class_map=options.class_map,
            )
        )
    for notice in listing.notices:
        progress.note(notice)
    check_extra_names(extra_names(listing.items))
    ordered = order_items(listing.items, seed=options.seed)
    estimate = _measure(ordered, listing, options, engine, progress)
    encoder = encoder_fingerprint(options.image_spec())
    request = PlanRequest(
        format=options.format,
        image=options.image_spec(),
        encoder_sha256=encoder.sha256,
        seed=options.seed,
        sharding=options.shard_spec(),
        splits=options.splits(),
        group_column=options.group_column,
        label_kind=listing.label_kind,
        class_names=listing.class_names,
    )
    plan = build_plan(ordered, estimate, request)
    document = PlanDocument(
        plan_id=plan.header.plan_id,
        header=plan.header,
        encoder=encoder,
        source_root=listing.root,
        options=_lasting_options(options),
    )
    return plan, document


def check_places(options: PackOptions) -> None:
    """Raise OptionsError where the destination lies in the source or the source in the destination."""
    source, dest = (os.path.realpath(path) for path in (options.source, options.dest))
    if os.path.commonpath([source, dest]) in (source, dest):
        inside = "inside the source" if dest.startswith(source) else "around the source"
        raise OptionsError(f"DEST: expected a folder apart from the source, got {options.dest}, which is {inside}")
    if os.path.isfile(dest):
        raise OptionsError(f"DEST: expected a folder that is new or empty, got the file {options.dest}")


@contextmanager
def _engine(options: PackOptions, given: Engine | None) -> Iterator[Engine]:
    if given is not None:
        yield given
        return
    engine = create_engine(options.engine, options.workers)
    try:
        yield engine
    finally:
        engine.close()


def _resumed(dest: Store, options: PackOptions) -> PlanDocument | None:
    """Return the plan of the run to go on with, or None for a run from the start."""
    if not options.resume:
        return None
    document = load_plan(dest)
    if document is not None:
        reopen(dest, document, _lasting_options(options))
    return document


def _lasting_options(options: PackOptions) -> dict[str, Any]:
    values = msgspec.to_builtins(options)
    values |= {name: os.path.abspath(values[name]) for name in ("source", "dest")}
    return {name: value for name, value in values.items() if name not in _ENGINE_FIELDS and name != "dest"}


def _measure(
    ordered: pa.Table, listing: Listing, options: PackOptions, engine: Engine, progress: Progress
) -> SizeEstimate:
    """Decode and encode the first items in hash order until enough have become records."""
    sizes: list[int] = []
    problems: list[str] = []
    wanted, start = num_probes(ordered.num_rows), 0
    with progress.phase("measuring", total=wanted):
        while len(sizes) < wanted and start < ordered.num_rows:
            batch = ordered.slice(start, wanted - len(sizes))
            rows = item_rows(batch.to_pydict(), extra_names=extra_names(ordered), class_names=listing.class_names)
            context = ProbeContext(
                source_root=listing.root, format=options.format, image=options.image_spec(), items=tuple(rows)
            )
            for item in _probe(context, engine, progress):
                if item.num_bytes is None:
                    problems.append(item.problem)
                else:
                    sizes.append(item.num_bytes)
            start += len(rows)
            if len(problems) > options.max_rejects * ordered.num_rows:
                break
    if not sizes:
        raise SourceError(f"{options.source}: none of the first {start} items could be packed; {problems[0]}")
    return estimate_size(sizes)


def _probe(context: ProbeContext, engine: Engine, progress: Progress) -> list[ProbedItem]:
    tasks = range(-(-len(context.items) // ITEMS_PER_TASK))
    results = dict(engine.run(probe_items, context, tasks, progress.advance))
    return [item for task in tasks for item in results[task]]


def _pack_shards(
    document: PlanDocument, dest: Store, options: PackOptions, engine: Engine, progress: Progress
) -> list[ShardSummary]:
    header = document.header
    context = PackContext(
        source_root=document.source_root,
        dest=dest.uri,
        header=header,
        encoder=document.encoder,
        fail_on_reject=options.on_reject is OnReject.FAIL,
        resume=options.resume,
    )
    summaries: list[ShardSummary] = []
    with progress.phase("packing", total=sum(split.num_items for split in header.splits)):
        for summary in engine.run(pack_shard, context, range(header.num_tasks), progress.advance):
            summaries.append(summary)
            num_rejects = sum(s.num_rejects for s in summaries)
            check_rejects(num_rejects, header, options.max_rejects, example=f"see {dest.uri}/meta/receipts")
    return summaries
