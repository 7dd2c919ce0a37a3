"""The first half of the way: list -> (dedupe) -> probe -> plan. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from packer.dataset.copies import CopiedItem, copies_digest
from packer.dataset.document import later_fields
from packer.dataset.itemcheck import check_fields, check_items
from packer.dataset.planfile import PlanDocument
from packer.dataset.reject_limit import check_probed
from packer.dedupe import drop_copies, planned_copies
from packer.errors import PackerError, SourceError
from packer.formats.features import check_extra_names
from packer.options import STORE_FIELDS, PackOptions, default_options
from packer.packing.encoder import report_encoder
from packer.packing.probe import ITEMS_PER_TASK, ProbeContext, ProbedItem, probe_items
from packer.packing.sample import RowNames, item_rows
from packer.planning.balance import KnownSizes
from packer.planning.class_findings import class_findings
from packer.planning.plan import Plan, PlanRequest, build_plan, extra_names, order_items
from packer.planning.shard_count import SizeEstimate, estimate_size, num_probes
from packer.run import Run
from packer.sources.imagerows import Spill, spill_rows
from packer.sources.items import Listing, SourceSpec
from packer.sources.open_source import find_rows, list_source
from packer.sources.splitfolders import SPLIT_COLUMN
from packer.specs import MAX_SHARD_BYTES, EngineName, OnReject
from packer.stores.open_store import absolute_uri, share_options

_ENGINE_FIELDS = frozenset({"dest", "engine", "workers", "item_timeout", "resume", "overwrite", "part", *STORE_FIELDS})
"""Options that say how and where a run is done; all others say what it makes, so a resumed run must repeat them."""


def make_plan(run: Run[PackOptions], spill: Spill | None = None) -> tuple[Plan, PlanDocument]:
    """List the source, measure some of its items and plan.

    Images in rows go into `spill`, for packing to read them there; without one, into a folder of their own for as long
    as this takes.

    Raises:
        SourceError: there is no source, nothing in it, or nothing in it that can be packed.
        OptionsError: the items do not fit the container, or cannot be cut evenly as asked.
    """
    with Spill() if spill is None else nullcontext(spill) as place:
        with run.progress.phase("listing", total=None):
            listing = _list(run, place)
        check_engine(run.options, place)
        return _plan_listed(run, listing)


def _list(run: Run[PackOptions], place: Spill) -> Listing:
    """List the source and tell how many images are found, while they are."""
    num_found = 0

    def found(num_images: int) -> None:
        nonlocal num_found
        num_found += num_images
        run.progress.advance(num_images, 0)

    listing = list_source(replace(_source_spec(run.options), found=found), place)
    run.progress.advance(max(0, listing.items.num_rows - num_found), 0)
    return listing


def _plan_listed(run: Run[PackOptions], listing: Listing) -> tuple[Plan, PlanDocument]:
    options = run.options
    for notice in listing.notices:
        run.progress.note(notice)
    check_extra_names(extra_names(listing.items))
    ordered = order_items(listing.items, seed=options.seed)
    if options.limit is not None and options.limit < ordered.num_rows:
        run.progress.note(f"a trial with {options.limit:,} of {ordered.num_rows:,} items (`limit`)")
        ordered = ordered.slice(0, options.limit)
    check_items(ordered, options.format)
    check_fields(listing.fields, options.format)
    copied: tuple[CopiedItem, ...] = ()
    if options.dedupe:
        deduped = drop_copies(ordered, listing, run)
        ordered, copied = deduped.items, deduped.copied
    sizes = _measure(ordered, listing, run)
    (encoder,) = run.engine.run(report_encoder, options.image_spec(), [0], run.progress.advance)
    request = PlanRequest(
        format=options.format,
        image=options.image_spec(),
        encoder_sha256=encoder.sha256,
        seed=options.seed,
        sharding=options.shard_spec(),
        splits=options.splits(),
        split_column=SPLIT_COLUMN if options.split_folders else options.split_column,
        group_column=options.group_column,
        label_kind=listing.label_kind,
        class_names=listing.class_names,
        fields=listing.fields,
    )
    plan = build_plan(ordered, sizes, request)
    for finding in class_findings(plan, listing.class_names):
        run.progress.note(f"{finding.text} {finding.advice}")
    if copied:
        plan = replace(plan, copies=planned_copies(copied, plan))
    document = PlanDocument(
        plan_id=plan.plan_id,
        header=plan.header,
        encoder=encoder,
        source_root=listing.root,
        options=lasting_options(options),
        copies_sha256=msgspec.UNSET if plan.copies is None else copies_digest(plan.copies),
    )
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


def lasting_options(options: PackOptions) -> dict[str, Any]:
    """Return the options that a resumed run or another part of this one must have too.

    One that later releases than the first brought is left out where it has its default, as the plans of that have it.
    """
    # As JSON has them, which knows no tuples, for what is stored is compared with what is given anew.
    values = msgspec.json.decode(msgspec.json.encode(options))
    defaults, later = msgspec.json.decode(msgspec.json.encode(default_options())), later_fields(PackOptions)
    return {
        name: absolute_uri(value) if name == "source" else value
        for name, value in values.items()
        if name not in _ENGINE_FIELDS and not (name in later and value == defaults[name])
    }


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


def _measure(ordered: pa.Table, listing: Listing, run: Run[PackOptions]) -> SizeEstimate | KnownSizes:
    """Decode and encode the first items in hash order until enough have become records.

    Where every image is stored as it is, what it adds to its listed size is all that needs measuring.
    """
    keeps_all = run.options.image_spec().keeps_all
    sizes: list[int] = []
    problems: list[str] = []
    wanted, start = num_probes(ordered.num_rows), 0
    with run.progress.phase("measuring", total=wanted):
        while len(sizes) < wanted and start < ordered.num_rows:
            batch = ordered.slice(start, wanted - len(sizes))
            start += batch.num_rows
            listed = batch["num_bytes"].to_pylist()
            for item, num_bytes in zip(_probe(batch, listing, run), listed, strict=True):
                if item.num_bytes is None:
                    problems.append(item.problem)
                else:
                    sizes.append(item.num_bytes - num_bytes if keeps_all else item.num_bytes)
            if problems:
                _check_problems(problems, run.options, num_items=ordered.num_rows, is_all=not sizes)
    if keeps_all:
        return _kept_sizes(ordered, added_bytes=sum(sizes) // len(sizes))
    return estimate_size(sizes)


def _check_problems(problems: list[str], options: PackOptions, *, num_items: int, is_all: bool) -> None:
    """End a run that packing could only fail, before it packs anything."""
    if (is_all and len(problems) > options.max_rejects * num_items) or len(problems) == num_items:
        raise SourceError(f"{options.source}: none of the first {len(problems)} items could be packed; {problems[0]}")
    if options.on_reject is OnReject.FAIL:
        raise PackerError(f"{problems[0]} (`on_reject=fail`)")
    check_probed(problems, num_items, options.max_rejects)


def _kept_sizes(ordered: pa.Table, *, added_bytes: int) -> KnownSizes:
    """Return the sizes of records of the listed sizes and what framing adds.

    Raises:
        SourceError: an item is larger than a shard.
    """
    framed = ordered["num_bytes"].to_numpy() + added_bytes
    largest = int(np.argmax(framed))
    if framed[largest] > MAX_SHARD_BYTES:
        raise SourceError(
            f"{ordered['key'][largest]}: expected items that fit a shard of {MAX_SHARD_BYTES // 10**6} MB, got "
            f"{framed[largest] - added_bytes:,} bytes; leave it out, or shrink all with `resize`"
        )
    return KnownSizes(framed)


def _probe(batch: pa.Table, listing: Listing, run: Run[PackOptions]) -> Iterator[ProbedItem]:
    rows = item_rows(batch.to_pydict(), RowNames(extra_names(batch), listing.class_names, listing.fields))
    context = ProbeContext(
        source_root=listing.place,
        source_store=share_options(listing.place, run.options.source_store()),
        format=run.options.format,
        image=run.options.image_spec(),
        item_limit_s=run.options.item_timeout,
        items=tuple(rows),
    )
    tasks = range(-(-len(rows) // ITEMS_PER_TASK))
    results = dict(run.engine.run(probe_items, context, tasks, run.progress.advance))
    for task in tasks:
        yield from results[task]
