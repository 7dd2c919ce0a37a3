"""From samples to a shard in its place: records, fills, files, receipt. Shared by all that make shards.

Everything is held in memory until the shard is whole and is then written with one atomic put for each file, the
receipt last.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from packer.dataset.manifest import ShardEntry
from packer.dataset.pixels import PixelSums, pixel_sums
from packer.dataset.planfile import PlanDocument
from packer.dataset.receipt import Receipt, RejectedItem, load_receipt, put_receipt
from packer.dataset.recordstable import RecordRow, build_records, decode_records, encode_records, is_same_file
from packer.dataset.sidefiles import side_files
from packer.errors import DataSetError, NewerVersionError, PackerError, StoreError
from packer.formats.container import RecordSchema, Sample
from packer.formats.registry import get_format
from packer.imaging.rejects import RejectError
from packer.packing.sample import ItemRow
from packer.planning.digest import table_digest
from packer.planning.fills import choose_fills
from packer.planning.layout import index_key, records_key, shard_key, shard_stem, stem_of
from packer.planning.plan import PlanHeader
from packer.specs import MAX_SHARD_BYTES
from packer.stores.store import Store


class ShardSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a task tells its driver; the rest is in the receipt."""

    task: int
    num_records: int
    num_rejects: int
    num_bytes: int
    reused: bool


class OpenShard:
    """A shard that is being filled with the samples of its items, in their order; `columns` are those of the plan."""

    def __init__(self, plan: PlanDocument, task: int, items: Sequence[ItemRow], columns: pa.Schema) -> None:
        self.plan_id = plan.plan_id
        self.header = plan.header
        self.items = items
        self.split, shard_index = self.header.locate(task)
        self.stem = shard_stem(self.split.name, shard_index, self.split.num_shards)
        self.container = get_format(self.header.format)
        self.writer = self.container.open_writer(self.split.name, shard_index, _record_schema(self.header, columns))
        self.rows: list[RecordRow] = []
        self.rejected: list[tuple[ItemRow, RejectError]] = []
        self._moved = [name for spec in self.header.declared if spec.is_moved for name in spec.columns]
        self.histogram: npt.NDArray[np.int64] | None = None

    def add(self, item_index: int, sample: Sample, histogram: tuple[int, ...] = ()) -> None:
        """Append an item's sample; `histogram` holds channels x 256 counts of its pixels.

        Raises PackerError when the shard passes 128 MB.
        """
        row = RecordRow(
            item_index=item_index,
            source_sha256=bytes.fromhex(sample.source_sha256),
            is_fill=False,
            num_bytes=self.writer.add(sample, len(self.rows)),
            moved={name: sample.extras[name] for name in self._moved},
        )
        self._append(row)
        if histogram:
            # struct takes the numbers out of their objects in a third of the time of np.array.
            counts = np.frombuffer(struct.pack(f"={len(histogram)}q", *histogram), dtype=np.int64)
            self.histogram = counts if self.histogram is None else self.histogram + counts

    def reject(self, item_index: int, error: RejectError) -> None:
        """Note that an item has no sample."""
        self.rejected.append((self.items[item_index], error))

    def fill(self) -> None:
        """Repeat samples in turn until a training shard is full; where it would pass 128 MB, the smallest one.

        Raises DataSetError when records are missing and none is there to be repeated.
        """
        missing: list[int | None] = [_class_of(item) for item, _ in self.rejected]
        missing += [None] * (self.split.records_per_shard - len(self.items))
        good = [_class_of(self.items[row.item_index]) for row in self.rows]
        try:
            fills = choose_fills(good, missing, by_class=self.header.stratify)
        except DataSetError as error:
            first, reject = self.rejected[0]
            raise DataSetError(f"shard {self.stem}: {error}; the first, {first.key}: {reject}") from None
        smallest = min(range(len(self.rows)), key=lambda index: self.rows[index].num_bytes, default=0)
        for index in fills:
            if self.writer.num_bytes + self.rows[index].num_bytes > MAX_SHARD_BYTES:
                index = smallest
            num_bytes = self.writer.repeat(index, len(self.rows))
            self._append(msgspec.structs.replace(self.rows[index], is_fill=True, num_bytes=num_bytes))

    def _append(self, row: RecordRow) -> None:
        self.rows.append(row)
        if self.writer.num_bytes > MAX_SHARD_BYTES:
            raise PackerError(
                f"shard {self.stem} passes {MAX_SHARD_BYTES // 10**6} MB, since its samples are larger than those that "
                f"were measured for the plan: start anew with a smaller `shard_size` and `overwrite=True`"
            )


def _record_schema(header: PlanHeader, columns: pa.Schema) -> RecordSchema:
    """Return what all records of a plan have, from its header and the columns of its items."""
    pictures = {spec.name for spec in header.declared if spec.is_picture}
    return RecordSchema(
        label_kind=header.label_kind,
        num_classes=header.num_classes,
        class_names=header.class_names,
        columns=pa.schema([columns.field(name) for name in header.extra_names if name not in pictures]),
        fields=header.declared,
    )


def finish_shard(dest: Store, task: int, shard: OpenShard, table: pa.Table) -> ShardSummary:
    """Add the fills of a training shard and put the shard and its side files.

    Args:
        dest: the claimed destination.
        task: the shard's number among those of all splits.
        shard: its samples.
        table: its items as planned, for the table of records.
    """
    if shard.split.is_training:
        shard.fill()
    split, stem = shard.split.name, shard.stem
    buffers = shard.writer.finish()
    digest = hashlib.sha256()
    for buffer in buffers:
        digest.update(buffer)
    index = shard.writer.index()
    records = build_records(table, shard.rows)
    entry = ShardEntry(
        key=shard_key(split, stem, shard.container.suffix),
        num_records=len(shard.rows),
        num_fills=sum(row.is_fill for row in shard.rows),
        num_bytes=shard.writer.num_bytes,
        sha256=digest.hexdigest(),
        index_sha256=hashlib.sha256(index).hexdigest(),
        records_sha256=table_digest(records),
    )
    dest.put(entry.key, buffers)
    dest.put(index_key(split, stem), [index])
    for key, data in side_files(shard.container, records, split=split, stem=stem).items():
        dest.put(key, [data])
    dest.put(records_key(split, stem), [encode_records(records)])
    receipt = _receipt(shard, entry)
    put_receipt(dest, stem, receipt)
    return _summary(task, receipt, reused=False)


def reuse_shard(dest: Store, plan: PlanDocument, task: int) -> ShardSummary | None:
    """Return the summary of a shard that an earlier attempt finished, if all that its receipt vouches for is there.

    Raises NewerVersionError where a newer release went on with the run.
    """
    split, shard_index = plan.header.locate(task)
    stem = shard_stem(split.name, shard_index, split.num_shards)
    try:
        receipt = load_receipt(dest, stem, plan_id=plan.plan_id)
        is_intact = receipt is not None and _is_intact(dest, plan.header, split.name, receipt)
    except (StoreError, NewerVersionError):
        raise
    except (OSError, DataSetError):  # it is not there, or lies on a bad sector of the disk
        return None
    return _summary(task, receipt, reused=True) if receipt is not None and is_intact else None


def _is_intact(dest: Store, header: PlanHeader, split: str, receipt: Receipt) -> bool:
    """Compare a shard and its side files with its receipt. Raises OSError or DataSetError."""
    shard = receipt.shard
    stem = stem_of(shard.key)
    key = records_key(split, stem)
    records = decode_records(dest.get(key), name=key)
    beside = side_files(get_format(header.format), records, split=split, stem=stem)
    return (
        hashlib.sha256(dest.view(shard.key)).hexdigest() == shard.sha256
        and hashlib.sha256(dest.get(index_key(split, stem))).hexdigest() == shard.index_sha256
        and table_digest(records) == shard.records_sha256
        and is_same_file(records, dest.get(key))
        and all(dest.get(key) == data for key, data in beside.items())
    )


def _receipt(shard: OpenShard, entry: ShardEntry) -> Receipt:
    good = [shard.items[row.item_index] for row in shard.rows if not row.is_fill]
    labels = Counter(label for item in good if (label := _class_of(item)) is not None)
    return Receipt(
        plan_id=shard.plan_id,
        shard=entry,
        label_counts={str(label): labels[label] for label in sorted(labels)},
        pixels=pixel_sums(shard.histogram.tolist()) if shard.histogram is not None else PixelSums(),
        rejects=tuple(
            RejectedItem(key=item.key, split=shard.split.name, shard=shard.stem, reason=e.reason, detail=e.detail)
            for item, e in shard.rejected
        ),
    )


def _class_of(item: ItemRow) -> int | None:
    return item.label if isinstance(item.label, int) else None


def _summary(task: int, receipt: Receipt, *, reused: bool) -> ShardSummary:
    return ShardSummary(
        task=task,
        num_records=receipt.shard.num_records,
        num_rejects=len(receipt.rejects),
        num_bytes=receipt.shard.num_bytes,
        reused=reused,
    )
