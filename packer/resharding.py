"""From a data set to another one: another world, shard size or container. Images are copied, never encoded again.

verify -> records as items -> plan -> claim -> copy, one task = one shard -> commit
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.commit import Inherited, clear_scaffolding, commit
from packer.dataset.destination import (
    check_destination,
    check_same_options,
    claim_destination,
    join_claim,
    mend_claim,
)
from packer.dataset.itemcheck import check_items
from packer.dataset.load import load_labels, load_manifest
from packer.dataset.manifest import Manifest
from packer.dataset.planfile import PlanDocument, is_claim_cut, load_plan
from packer.dataset.recordstable import decode_records
from packer.dataset.report import run_report
from packer.dataset.shardcheck import manifest_shards
from packer.engines.engine import Engine
from packer.errors import DataSetError
from packer.options import PackOptions
from packer.packing.assemble import ShardSummary
from packer.packing.reshard import SOURCE_NUM_BYTES, SOURCE_SHA256, ReshardContext, added_bytes, reshard_shard
from packer.pipeline import PackResult, check_places, closing, do_once, engine_of
from packer.planning.balance import KnownSizes
from packer.planning.layout import REJECTS_KEY, records_key, stem_of
from packer.planning.plan import Plan, PlanRequest, build_plan, order_items
from packer.planning.shard_count import SizeEstimate
from packer.prepare import lasting_options
from packer.progress import Progress, SilentProgress
from packer.sources.members import ARCHIVE, METHOD, OFFSET_BYTES, STORED, STORED_BYTES
from packer.stores.open_store import open_store, share_options
from packer.stores.readahead import read_in_order
from packer.stores.store import Store
from packer.verifying import verify

_SPLIT = "_split"


@dataclass(frozen=True, slots=True)
class _Copy:
    """A data set and where its copy goes."""

    source: Store
    manifest: Manifest
    dest: Store


def reshard(options: PackOptions, *, engine: Engine | None = None, progress: Progress | None = None) -> PackResult:
    """Copy the records of the data set at `options.source` into a new one; splits, seed and images stay.

    Of the options, the world, format, shard size, allow_fill and those of the run count.

    Raises:
        OptionsError: options or input that must be mended; nothing was written.
        PackerError: the data set is damaged, or the work failed; what was copied stays for ``resume``.
    """
    progress = progress or SilentProgress()
    started = time.time()
    check_places(options)
    source = open_store(options.source, options.source_store())
    dest = open_store(options.dest, options.dest_store())
    manifest = load_manifest(source)
    with engine_of(options, engine) as engine:
        copy, document = _claimed_plan(_Copy(source, manifest, dest), options, engine, progress)

        def work() -> PackResult:
            summaries = _copy_shards(copy, document, options, engine, progress)
            num_reused = sum(summary.reused for summary in summaries)
            rejects_file = source.get(REJECTS_KEY)
            inherited = Inherited(pixels=manifest.pixels, rejects=manifest.rejects, rejects_file=rejects_file)
            run = run_report(options, started=started, num_reused=num_reused)
            copied = commit(copy.dest, document, closing(document, 0, run, inherited))
            clear_scaffolding(copy.dest, document, progress)
            return PackResult(dest=dest.uri, manifest=copied, num_shards=len(summaries), num_reused=num_reused)

        return do_once(work, copy.dest, document, progress)


def _copy_shards(
    copy: _Copy, document: PlanDocument, options: PackOptions, engine: Engine, progress: Progress
) -> list[ShardSummary]:
    context = ReshardContext(
        source=copy.source.uri,
        source_store=share_options(copy.source.uri, options.source_store()),
        source_format=copy.manifest.format,
        dest=copy.dest.uri,
        dest_store=share_options(copy.dest.uri, options.dest_store()),
        claim=copy.dest.claim,
        plan=document,
        resume=options.resume,
    )
    tasks = range(document.header.num_tasks)
    with progress.phase("copying", total=sum(split.num_items for split in document.header.splits)):
        return list(engine.run(reshard_shard, context, tasks, progress.advance))


def _claimed_plan(copy: _Copy, options: PackOptions, engine: Engine, progress: Progress) -> tuple[_Copy, PlanDocument]:
    """Claim the destination, for a stored plan to go on with or for a new one; return the copy with that claim."""
    if options.resume and is_claim_cut(copy.dest):
        mend_claim(copy.dest, *_plan(copy.source, copy.manifest, options))
    stored = load_plan(copy.dest) if options.resume else None
    if stored is not None:
        check_same_options(copy.dest, stored, lasting_options(options))
        dest = join_claim(copy.dest, stored)
        dest.sweep()
        return replace(copy, dest=dest), stored
    check_destination(copy.dest, overwrite=options.overwrite)
    report = verify(options.source, engine, progress, options=options.source_store())
    if report.faults:
        raise DataSetError(f"{copy.source.uri} is damaged, so it was not copied: {report.faults[0]}")
    plan, document = _plan(copy.source, copy.manifest, options)
    dest = claim_destination(copy.dest, plan, document, overwrite=options.overwrite)
    return replace(copy, dest=dest), document


def _plan(source: Store, manifest: Manifest, options: PackOptions) -> tuple[Plan, PlanDocument]:
    shards = manifest_shards(manifest)
    table = pa.concat_tables(read_in_order(source, shards, lambda found: _items(source, found[0], found[1].key)))
    ordered = order_items(table, seed=manifest.seed)
    check_items(ordered, options.format)
    request = PlanRequest(
        format=options.format,
        image=manifest.image,
        encoder_sha256=manifest.encoder_sha256,
        seed=manifest.seed,
        sharding=msgspec.structs.replace(options.shard_spec(), stratify=manifest.stratify),
        splits=(),
        split_column=_SPLIT,
        group_column=None,
        label_kind=manifest.label_kind,
        class_names=load_labels(source),
    )
    added = added_bytes(source, ordered, (manifest.format, options.format))
    plan = build_plan(ordered, _record_sizes(ordered, added, keeps_all=manifest.image.keeps_all), request)
    original = load_plan(source)
    if original is None:
        raise DataSetError(f"{source.uri}: expected meta/plan.json beside the manifest; the data set is not whole")
    document = PlanDocument(
        plan_id=plan.plan_id,
        header=plan.header,
        encoder=original.encoder,
        source_root=source.uri,
        options=lasting_options(options),
        command="reshard",
    )
    return plan, document


def _record_sizes(ordered: pa.Table, added: int, *, keeps_all: bool) -> SizeEstimate | KnownSizes:
    """Return what packing the sources would have planned with; of images that are kept it knows all sizes.

    `added` is the number of bytes that a record gains in its new container.
    """
    sizes = ordered.column("num_bytes").to_numpy() + added
    mean_bytes = max(1, int(sizes.sum()) // len(sizes))
    if keeps_all:
        listed = ordered.column(SOURCE_NUM_BYTES).to_numpy()
        return KnownSizes(listed + (mean_bytes - int(listed.sum()) // len(sizes)))
    return SizeEstimate(mean_bytes=mean_bytes, spread_bytes=int(np.std(sizes)), num_probed=len(sizes))


def _items(source: Store, split: str, shard_key: str) -> pa.Table:
    """Return a shard's records as items that lie in it; fills are left out."""
    key = records_key(split, stem_of(shard_key))
    table = decode_records(source.get(key), name=f"{source.uri}/{key}")
    sizes = table.column("num_bytes").to_numpy()
    num = table.num_rows
    table = table.rename_columns([_RENAMED.get(name, name) for name in table.column_names])
    located = {
        ARCHIVE: pa.array([shard_key] * num, pa.large_string()),
        OFFSET_BYTES: pa.array(np.cumsum(sizes) - sizes, pa.int64()),
        STORED_BYTES: pa.array(sizes, pa.int64()),
        METHOD: pa.array([STORED] * num, pa.int64()),
        _SPLIT: pa.array([split] * num, pa.large_string()),
    }
    for name, column in located.items():
        table = table.append_column(name, column)
    return table.filter(pc.invert(table.column("is_fill"))).drop_columns(["is_fill"])


_RENAMED = {"source_num_bytes": SOURCE_NUM_BYTES, "source_sha256": SOURCE_SHA256}
