"""From a data set to another one: another world, shard size or container. Images are copied, never encoded again.

verify -> records as items -> plan -> claim -> copy, one task = one shard -> commit
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.commit import Closing, Inherited
from packer.dataset.copies import copies_digest, left_out, load_copies
from packer.dataset.itemcheck import check_fields, check_items
from packer.dataset.load import load_labels, load_manifest
from packer.dataset.manifest import Manifest, ShardEntry
from packer.dataset.near_list import load_near, near_digest
from packer.dataset.planfile import PlanDocument, load_plan
from packer.dataset.recordstable import decode_records
from packer.dataset.shardcheck import manifest_shards
from packer.dataset.sidefiles import load_places
from packer.engines.engine import Engine
from packer.errors import DataSetError
from packer.formats.container import Container, RecordPlaces
from packer.formats.registry import get_format
from packer.options import PackOptions, parse_options
from packer.packing.assemble import ShardSummary
from packer.packing.encoder import in_container
from packer.packing.reshard import SOURCE_NUM_BYTES, SOURCE_SHA256, ReshardContext, added_bytes, reshard_shard
from packer.pipeline import PackResult, closing, count_reused, make_dataset, open_run
from packer.plan_request import lasting_options
from packer.planning.balance import KnownSizes
from packer.planning.layout import REJECTS_KEY, records_key, stem_of
from packer.planning.plan import Plan, PlanRequest, build_plan, order_items
from packer.planning.shard_count import SizeEstimate
from packer.progress import Progress
from packer.run import Run, Work
from packer.sources.items import NUM_BYTES
from packer.sources.members import ARCHIVE, METHOD, OFFSET_BYTES, STORED, STORED_BYTES, picture_column
from packer.stores.open_store import open_store, share_options
from packer.stores.readahead import read_in_order
from packer.stores.store import Store
from packer.verifying import verify

_SPLIT = "_split"
_WORLD_FIELDS = ("instances", "gpus_per_instance", "gpus")


def reshard(options: PackOptions, *, engine: Engine | None = None, progress: Progress | None = None) -> PackResult:
    """Copy the records of the data set at `options.source` into a new one; splits, seed and images stay.

    Of the options, the world, format, shard size, allow_fill and those of the run count.

    Raises:
        OptionsError: options or input that must be mended; nothing was written.
        PackerError: the data set is damaged, or the work failed; what was copied stays for ``resume``.
    """
    source = open_store(options.source, options.source_store())
    manifest = load_manifest(source)  # before any process is started for nothing
    with open_run(options, engine=engine, progress=progress) as run:
        return make_dataset(run, _Copying(source, manifest))


def keep_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return untyped options of a copy, with the container and the GPUs of the original where they name none.

    Raises:
        OptionsError: an option cannot be what it is.
        NotADataSetError: the source is no data set.
    """
    options = parse_options(values)
    source = open_store(options.source, options.source_store())
    manifest = load_manifest(source)
    kept: dict[str, Any] = {"format": manifest.format}
    if not any(values.get(name) is not None for name in _WORLD_FIELDS):
        original = load_plan(source)
        planned = {} if original is None else {name: original.options.get(name) for name in _WORLD_FIELDS}
        kept |= {name: value for name, value in planned.items() if value is not None} or {"gpus": manifest.world}
    return {**kept, **values}


@dataclass(frozen=True, slots=True)
class _Copying:
    """The Recipe of `reshard`."""

    source: Store
    manifest: Manifest

    @property
    def command(self) -> str:
        return "reshard"

    def plan(self, run: Run[PackOptions]) -> tuple[Plan, PlanDocument]:
        report = verify(run.source, run.engine, run.progress, options=run.options.source_store())
        if report.faults:
            raise DataSetError(f"{self.source.uri} is damaged, so it was not copied: {report.faults[0]}")
        return _plan(self.source, self.manifest, run.options)

    def work(self, run: Run[PackOptions], document: PlanDocument) -> Work[ReshardContext, ShardSummary]:
        context = ReshardContext(
            source=self.source.uri,
            source_store=share_options(self.source.uri, run.options.source_store()),
            source_format=self.manifest.format,
            dest=run.dest.uri,
            dest_store=share_options(run.dest.uri, run.options.dest_store()),
            claim=run.dest.claim,
            plan=document,
            resume=run.options.resume,
        )
        return Work(
            phase="copying",
            num_items=sum(split.num_items for split in document.header.splits),
            function=reshard_shard,
            context=context,
            tasks=range(document.header.num_tasks),
            look_at=functools.partial(count_reused, run, document),
        )

    def closing(self, run: Run[PackOptions], document: PlanDocument, run_report: bytes) -> Closing:
        rejects_file = self.source.get(REJECTS_KEY)
        inherited = Inherited(pixels=self.manifest.pixels, rejects=self.manifest.rejects, rejects_file=rejects_file)
        return closing(document, 0, run_report, inherited)


def _plan(source: Store, manifest: Manifest, options: PackOptions) -> tuple[Plan, PlanDocument]:
    shards, container = manifest_shards(manifest), get_format(manifest.format)
    table = pa.concat_tables(read_in_order(source, shards, lambda found: _items(source, *found, container)))
    ordered = order_items(table, seed=manifest.seed)
    check_items(ordered, options.format)
    check_fields(manifest.declared, options.format)
    original, near = load_plan(source), load_near(source)
    if original is None:
        raise DataSetError(f"{source.uri}: expected meta/plan.json beside the manifest; the data set is not whole")
    encoder = in_container(original.encoder, options.format)
    request = PlanRequest(
        format=options.format,
        image=manifest.image,
        encoder_sha256=encoder.sha256,
        seed=manifest.seed,
        sharding=msgspec.structs.replace(options.shard_spec(), stratify=manifest.stratify),
        splits=(),
        split_column=_SPLIT,
        group_column=None,
        label_kind=manifest.label_kind,
        class_names=load_labels(source),
        fields=manifest.declared,
    )
    added = added_bytes(source, ordered, (manifest.format, options.format), manifest.declared)
    plan = build_plan(ordered, _record_sizes(ordered, added, keeps_all=manifest.image.keeps_all), request)
    copies = left_out(load_copies(source))
    if copies.num_rows:
        plan = replace(plan, copies=copies)
    plan = replace(plan, near=near)
    document = PlanDocument(
        plan_id=plan.plan_id,
        header=plan.header,
        encoder=encoder,
        source_root=source.uri,
        options=lasting_options(options),
        command="reshard",
        near_sha256=msgspec.UNSET if near is None else near_digest(near),
        copies_sha256=copies_digest(copies) if copies.num_rows else msgspec.UNSET,
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


def _items(source: Store, split: str, shard: ShardEntry, container: Container) -> pa.Table:
    """Return a shard's records as items that lie in it, where its index says; fills are left out."""
    key = records_key(split, stem_of(shard.key))
    table = decode_records(source.get(key), name=f"{source.uri}/{key}")
    places = load_places(source, container, split, shard)
    num = table.num_rows
    table = table.rename_columns([_RENAMED.get(name, name) for name in table.column_names])
    sizes = pa.array(places.sizes_bytes, pa.int64())
    table = table.set_column(table.schema.get_field_index("num_bytes"), "num_bytes", sizes)
    located = _located(places, shard.key) | {_SPLIT: pa.array([split] * num, pa.large_string())}
    for name, picture in places.pictures.items():
        columns = {NUM_BYTES: pa.array(picture.sizes_bytes, pa.int64())} | _located(picture, shard.key)
        located |= {picture_column(name, column): values for column, values in columns.items()}
    for name, column in located.items():
        table = table.append_column(name, column)
    return table.filter(pc.invert(table.column("is_fill"))).drop_columns(["is_fill"])


def _located(places: RecordPlaces, shard_key: str) -> dict[str, pa.Array]:
    """Return the columns that say where records lie, as members of the shard."""
    num = len(places.offsets_bytes)
    return {
        ARCHIVE: pa.array([shard_key] * num, pa.large_string()),
        OFFSET_BYTES: pa.array(places.offsets_bytes, pa.int64()),
        STORED_BYTES: pa.array(places.sizes_bytes, pa.int64()),
        METHOD: pa.array([STORED] * num, pa.int64()),
    }


_RENAMED = {"source_num_bytes": SOURCE_NUM_BYTES, "source_sha256": SOURCE_SHA256}
