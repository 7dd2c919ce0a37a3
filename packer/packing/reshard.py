"""`reshard_shard`: records of an existing data set become one shard of another. Images are copied byte by byte.

A record is read where it lies, as a member of an archive is; its framing and serialisation are made anew, since the
container may be another one and a RecordIO record holds its position.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pyarrow as pa

from packer.dataset.planfile import PlanDocument, load_shard_items
from packer.engines.engine import Tick
from packer.errors import DataSetError
from packer.formats.container import Container, Sample
from packer.formats.registry import get_format
from packer.imaging.check import read_size
from packer.imaging.rejects import RejectError
from packer.packing.assemble import OpenShard, ShardSummary, finish_shard, reuse_shard
from packer.packing.encoder import check_container
from packer.packing.fetch import fetch_files
from packer.packing.sample import ItemFiles, ItemRow, RowNames, item_rows
from packer.planning.plan import extra_names
from packer.specs import DEFAULT_STORE, FieldSpec, FormatName, StoreOptions
from packer.stores.open_store import open_store
from packer.stores.store import NO_CLAIM, Claim, Store

SOURCE_SHA256 = "_source_sha256"
SOURCE_NUM_BYTES = "_source_num_bytes"
_NUM_MEASURED = 64


class ReshardContext(msgspec.Struct, frozen=True, kw_only=True):
    """What every task of a run is given."""

    source: str
    source_format: FormatName
    dest: str
    plan: PlanDocument
    resume: bool
    source_store: StoreOptions = DEFAULT_STORE
    dest_store: StoreOptions = DEFAULT_STORE
    claim: Claim = NO_CLAIM


def reshard_shard(context: ReshardContext, task: int, tick: Tick) -> ShardSummary:
    """Copy the records of one task's shard and leave its receipt.

    Raises:
        CorruptRecordError: a record is damaged.
        DataSetError: a record is missing, or the plan's file is damaged.
    """
    plan, dest = context.plan, open_store(context.dest, context.dest_store).claimed(context.claim)
    if context.resume and (summary := reuse_shard(dest, plan, task)):
        return summary
    header = plan.header
    check_container(header.format, plan.encoder)
    table = load_shard_items(dest, plan, task)
    columns = table.to_pydict()
    items = item_rows(columns, RowNames(header.extra_names, header.class_names, header.declared))
    shard = OpenShard(plan, task, items, table.schema)
    fetched = fetch_files(open_store(context.source, context.source_store), items)
    for index, (item, data, digest) in enumerate(zip(items, fetched, columns[SOURCE_SHA256], strict=True)):
        if isinstance(data, RejectError):
            raise DataSetError(f"{context.source}: the record of {item.key} cannot be read: {data}")
        shard.add(index, _sample(context, item, data, digest))
        tick(1, item.num_bytes_of_all)
    return finish_shard(dest, task, shard, _records_table(table))


def added_bytes(
    source: Store, ordered: pa.Table, containers: tuple[FormatName, FormatName], fields: tuple[FieldSpec, ...]
) -> int:
    """Return how much larger a record is in the second container than in the first, as the mean of some records.

    Args:
        source: the data set.
        ordered: its records as items, in hash order.
        containers: the one that it has, and the one that it gets.
        fields: what some of its columns are.
    """
    before, after = map(get_format, containers)
    if before.is_streamed and (before is after or not (fields or before.is_padded or after.is_padded)):
        return 0
    table = ordered.slice(0, _NUM_MEASURED)
    columns = table.to_pydict()
    items = item_rows(columns, RowNames(extra_names(table), (), fields))
    added = 0
    for item, data, digest in zip(items, fetch_files(source, items), columns[SOURCE_SHA256], strict=True):
        if isinstance(data, RejectError):
            raise DataSetError(f"{source.uri}: the record of {item.key} cannot be read: {data}")
        sample = _complete(_decode(before, data, source.uri), item, digest, after)
        added += after.open_writer("train", 0).add(sample, 0) - item.num_bytes
    return added // max(1, len(items))


def _decode(container: Container, record: bytes | ItemFiles, name: str) -> Sample:
    files = ItemFiles(record, {}) if isinstance(record, bytes) else record
    return container.decode_record(files.data, pictures=files.pictures, name=name)


def _sample(context: ReshardContext, item: ItemRow, record: bytes | ItemFiles, source_sha256: bytes) -> Sample:
    """Return the sample in a record, with what its container may not hold taken from the table of records."""
    assert item.member is not None
    name = f"{context.source}/{item.member.archive} from byte {item.member.offset_bytes:,}"
    found = _decode(get_format(context.source_format), record, name)
    return _complete(found, item, source_sha256, get_format(context.plan.header.format))


def _complete(sample: Sample, item: ItemRow, source_sha256: bytes, container: Container) -> Sample:
    sample = replace(
        sample,
        key=item.key,
        label=item.label,
        class_text=item.class_text,
        source_sha256=source_sha256.hex(),
        extras=item.extras,
        fields=item.fields,
    )
    if sample.width or not (container.holds_size or item.fields):
        return sample
    width, height, channels = read_size(sample.encoded)
    return replace(sample, width=width, height=height, channels=channels)


def _records_table(table: pa.Table) -> pa.Table:
    """Return the items as they were when they were first packed."""
    others = [name for name in table.column_names if name not in ("key", "num_bytes") and not name.startswith("_")]
    names = ["key", "num_bytes", *others]
    return table.select(["key", SOURCE_NUM_BYTES, *others]).rename_columns(names)
