"""`pack_shard`: one task of a plan becomes one shard. The same bytes wherever and however often it runs.

    rows of the plan -> bytes, read ahead -> samples -> records -> fills -> shard, index, table of records, receipt

Everything is held in memory until the shard is whole and is then written with one atomic put each.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import msgspec
import numpy as np
import pyarrow as pa

from packer.dataset.model import ShardEntry
from packer.dataset.pixels import PixelSums, pixel_sums
from packer.dataset.planfile import load_shard_items
from packer.dataset.receipt import Receipt, RejectedItem, load_receipt, put_receipt
from packer.dataset.recordstable import RecordRow, encode_records
from packer.engines.base import Tick
from packer.errors import DataSetError, EncoderMismatchError, PackerError
from packer.formats.base import RecordFormat, Sample
from packer.formats.index import ListEntry, RecordSpans, format_dali_index, format_list, format_mxnet_index
from packer.formats.registry import get_format
from packer.imaging.fingerprint import encoder_fingerprint
from packer.imaging.rejects import RejectError
from packer.imaging.values import EncoderFingerprint
from packer.options import MAX_SHARD_BYTES, FormatName, ImageSpec
from packer.packing.fetch import fetch_ahead
from packer.packing.sample import ItemRow, build_sample, item_rows
from packer.planning.fills import choose_fills
from packer.planning.names import index_key, list_key, records_key, shard_key, shard_stem
from packer.planning.plan import PlanHeader, PlannedSplit
from packer.stores.base import ObjectNotFoundError, Store
from packer.stores.open import open_store


class PackContext(msgspec.Struct, frozen=True, kw_only=True):
    """What every task of a run is given."""

    source_root: str
    dest: str
    header: PlanHeader
    encoder: EncoderFingerprint
    fail_on_reject: bool
    resume: bool
    """Keep a shard whose receipt and digest match instead of packing it again."""


class ShardSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a task tells its driver; the rest is in the receipt."""

    task: int
    num_records: int
    num_rejects: int
    num_bytes: int
    reused: bool


@dataclass(slots=True)
class _OpenShard:
    """Records of the shard so far."""

    items: list[ItemRow]
    buffers: list[list[bytes]] = field(default_factory=list)
    rows: list[RecordRow] = field(default_factory=list)
    rejected: list[tuple[ItemRow, RejectError]] = field(default_factory=list)
    histogram: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None

    def add(self, item_index: int, sample: Sample, frames: list[bytes]) -> None:
        self.buffers.append(frames)
        digest = bytes.fromhex(sample.source_sha256)
        num_bytes = sum(map(len, frames))
        self.rows.append(RecordRow(item_index=item_index, source_sha256=digest, is_fill=False, num_bytes=num_bytes))

    def count_pixels(self, histogram: tuple[int, ...]) -> None:
        counts = np.array(histogram, dtype=np.int64)
        self.histogram = counts if self.histogram is None else self.histogram + counts

    def repeat(self, index: int) -> None:
        """Append the record at `index` once more, as a fill."""
        self.buffers.append(self.buffers[index])
        self.rows.append(msgspec.structs.replace(self.rows[index], is_fill=True))

    def item_of(self, row: RecordRow) -> ItemRow:
        return self.items[row.item_index]


def pack_shard(context: PackContext, task: int, tick: Tick) -> ShardSummary:
    """Pack the shard of one task and leave its receipt.

    Raises:
        EncoderMismatchError: this process encodes differently from the one that planned.
        SourceChangedError, SourceError: an item is not what was listed, or may not be read.
        DataSetError: the plan's file is damaged, or a training shard has no good item.
        PackerError: an item was rejected and the run must fail on rejects, or the shard would pass 128 MB.
    """
    header = context.header
    split, shard_index = header.locate(task)
    stem = shard_stem(split.name, shard_index, split.num_shards)
    dest = open_store(context.dest)
    if context.resume and (receipt := _intact_receipt(dest, header, split, stem)):
        return _summary(task, receipt, reused=True)
    check_encoder(header.image, context.encoder)
    table = load_shard_items(dest, header, task)
    items = item_rows(table.to_pydict(), extra_names=header.extra_names, class_names=header.class_names)
    shard = _pack_items(context, items, stem, tick)
    if split.is_training:
        _add_fills(shard, split.records_per_shard, stratify=header.stratify, stem=stem)
    receipt = _write(dest, context, task, shard, table)
    return _summary(task, receipt, reused=False)


@functools.lru_cache(maxsize=4)
def check_encoder(spec: ImageSpec, expected: EncoderFingerprint) -> None:
    """Compare this process's encoder with the plan's, once. Raises EncoderMismatchError naming both versions."""
    found = encoder_fingerprint(spec)
    if found.sha256 != expected.sha256:
        raise EncoderMismatchError(
            f"this worker's image libraries give other bytes than those that made the plan: expected "
            f"{_versions(expected)}, found {_versions(found)}; install the same versions everywhere"
        )


def _versions(encoder: EncoderFingerprint) -> str:
    return (
        f"pillow {encoder.pillow}, libjpeg-turbo {encoder.libjpeg_turbo}, cykooz-resizer {encoder.resizer} "
        f"on {encoder.machine}"
    )


def _pack_items(context: PackContext, items: list[ItemRow], stem: str, tick: Tick) -> _OpenShard:
    header, shard = context.header, _OpenShard(items)
    container = get_format(header.format)
    source = open_store(context.source_root)
    num_bytes = 0
    fetched = fetch_ahead(source, items)
    for index, (item, data) in enumerate(zip(items, fetched, strict=True)):
        try:
            if isinstance(data, RejectError):
                raise data
            sample, histogram = build_sample(item, data, header.image)
        except RejectError as error:
            if context.fail_on_reject:
                raise PackerError(
                    f"{source.uri}/{item.key}: {error.reason}: {error.detail} (--on-reject fail)"
                ) from None
            shard.rejected.append((item, error))
        else:
            payload = container.encode_sample(sample, position=len(shard.rows))
            shard.add(index, sample, container.frame(payload))
            shard.count_pixels(histogram)
            num_bytes += shard.rows[-1].num_bytes
            check_shard_size(stem, num_bytes)
        tick(1, item.num_bytes)
    return shard


def check_shard_size(stem: str, num_bytes: int) -> None:
    """Raise PackerError when a shard passes 128 MB."""
    if num_bytes > MAX_SHARD_BYTES:
        raise PackerError(
            f"shard {stem} passes {MAX_SHARD_BYTES // 10**6} MB, since its samples are larger than those that were "
            f"measured for the plan: start anew with a smaller --shard-size and --overwrite"
        )


def _add_fills(shard: _OpenShard, num_records: int, *, stratify: bool, stem: str) -> None:
    missing: list[int | None] = [_class_of(item) for item, _ in shard.rejected]
    missing += [None] * (num_records - len(shard.items))
    good = [_class_of(shard.item_of(row)) for row in shard.rows]
    try:
        fills = choose_fills(good, missing, by_class=stratify)
    except DataSetError as error:
        first, reject = shard.rejected[0]
        raise DataSetError(f"shard {stem}: {error}; the first, {first.key}: {reject.reason}: {reject.detail}") from None
    for index in fills:
        shard.repeat(index)
    check_shard_size(stem, sum(row.num_bytes for row in shard.rows))


def _class_of(item: ItemRow) -> int | None:
    return item.label if isinstance(item.label, int) else None


def _write(dest: Store, context: PackContext, task: int, shard: _OpenShard, table: pa.Table) -> Receipt:
    """Put the shard and its side files, the receipt last."""
    header = context.header
    split, shard_index = header.locate(task)
    stem = shard_stem(split.name, shard_index, split.num_shards)
    container = get_format(header.format)
    buffers = [buffer for frames in shard.buffers for buffer in frames]
    digest = hashlib.sha256()
    for buffer in buffers:
        digest.update(buffer)
    sizes = [row.num_bytes for row in shard.rows]
    index = index_file(container, sizes)
    records, records_sha256 = encode_records(table, shard.rows)
    key = shard_key(split.name, stem, container.suffix)
    dest.put(key, buffers)
    dest.put(index_key(split.name, stem), [index])
    if header.format is FormatName.RECORDIO:
        dest.put(list_key(split.name, stem), [_list_file(shard).encode()])
    dest.put(records_key(split.name, stem), [records])
    entry = ShardEntry(
        key=key,
        num_records=len(sizes),
        num_fills=sum(row.is_fill for row in shard.rows),
        num_bytes=sum(sizes),
        sha256=digest.hexdigest(),
        index_sha256=hashlib.sha256(index).hexdigest(),
        records_sha256=records_sha256,
    )
    receipt = _receipt(header, split.name, stem, shard, entry)
    put_receipt(dest, stem, receipt)
    return receipt


def index_file(container: RecordFormat, sizes: Sequence[int]) -> bytes:
    """Return the content of a shard's `.idx` from the framed sizes of its records."""
    offsets = [0, *accumulate(sizes)][:-1]
    if container.name == FormatName.TFRECORD:
        return format_dali_index(RecordSpans(offsets_bytes=offsets, sizes_bytes=sizes)).encode()
    return format_mxnet_index(offsets).encode()


def _list_file(shard: _OpenShard) -> str:
    entries = []
    for position, row in enumerate(shard.rows):
        item = shard.item_of(row)
        labels = item.label if isinstance(item.label, tuple) else (-1.0 if item.label is None else float(item.label),)
        entries.append(ListEntry(index=position, labels=labels, path=item.key))
    return format_list(entries)


def _receipt(header: PlanHeader, split: str, stem: str, shard: _OpenShard, entry: ShardEntry) -> Receipt:
    good = [shard.item_of(row) for row in shard.rows if not row.is_fill]
    labels = Counter(label for item in good if (label := _class_of(item)) is not None)
    return Receipt(
        plan_id=header.plan_id,
        shard=entry,
        label_counts={str(label): labels[label] for label in sorted(labels)},
        pixels=pixel_sums(shard.histogram.tolist()) if shard.histogram is not None else PixelSums(),
        rejects=tuple(
            RejectedItem(key=item.key, split=split, shard=stem, reason=error.reason, detail=error.detail)
            for item, error in shard.rejected
        ),
    )


def _intact_receipt(dest: Store, header: PlanHeader, split: PlannedSplit, stem: str) -> Receipt | None:
    """Return the receipt of a shard that an earlier attempt finished, if all that it vouches for is there, unharmed."""
    receipt = load_receipt(dest, stem, plan_id=header.plan_id)
    if receipt is None:
        return None
    try:
        shard = hashlib.sha256(dest.view(receipt.shard.key)).hexdigest()
        index = hashlib.sha256(dest.view(index_key(split.name, stem))).hexdigest()
        dest.view(records_key(split.name, stem))
    except ObjectNotFoundError:
        return None
    return receipt if (shard, index) == (receipt.shard.sha256, receipt.shard.index_sha256) else None


def _summary(task: int, receipt: Receipt, *, reused: bool) -> ShardSummary:
    return ShardSummary(
        task=task,
        num_records=receipt.shard.num_records,
        num_rejects=len(receipt.rejects),
        num_bytes=receipt.shard.num_bytes,
        reused=reused,
    )
