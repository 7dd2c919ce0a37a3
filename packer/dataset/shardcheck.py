"""Is a shard what the manifest and its table of records say? One task checks one, and all that lies beside it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.fieldcheck import FieldCheck
from packer.dataset.manifest import Manifest, ShardEntry
from packer.dataset.planfile import PlanDocument, load_shard_items
from packer.dataset.recordstable import decode_records, is_same_file
from packer.dataset.sidefiles import load_places, side_files
from packer.engines.engine import Tick
from packer.errors import CorruptRecordError, DataSetError, PackerError, StoreError
from packer.formats.container import Record, Sample
from packer.formats.registry import get_format
from packer.planning.digest import table_digest
from packer.planning.layout import index_key, records_key, shard_index_of, stem_of
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.open_store import open_store
from packer.stores.store import ObjectNotFoundError, Store

_MAX_FAULTS = 5


class CheckContext(msgspec.Struct, frozen=True, kw_only=True):
    """What every task is given; task t checks the t-th shard of all splits in order."""

    uri: str
    manifest: Manifest
    plan: PlanDocument | None
    """None where it cannot be read, or is not the manifest's."""
    decode: bool
    store: StoreOptions = DEFAULT_STORE


class CheckedShard(msgspec.Struct, frozen=True, kw_only=True):
    """What a task found."""

    task: int
    split: str
    faults: tuple[str, ...]
    """Each names the shard and, where it can, the record or the byte; at most a few."""
    label_counts: dict[str, int] | None
    """Items per class id, fills not counted; None where the table of records is not to be trusted."""
    rejected: tuple[str, ...] | None
    """Keys of the items that are planned for the shard and not in it, in their order; None where that is not known."""


def manifest_shards(manifest: Manifest) -> Iterator[tuple[str, ShardEntry]]:
    """Yield (split, shard) in the order of the manifest."""
    for name, split in manifest.splits.items():
        for shard in split.shards:
            yield name, shard


def locate_shard(manifest: Manifest, task: int) -> tuple[str, ShardEntry]:
    """Return what `manifest_shards` yields as number `task`, without walking over those before it."""
    for name, split in manifest.splits.items():
        if task < len(split.shards):
            return name, split.shards[task]
        task -= len(split.shards)
    raise IndexError(f"task {task} is beyond the manifest's shards")


def check_shard(context: CheckContext, task: int, tick: Tick) -> CheckedShard:
    """Check the shard of one task. Raises StoreError where a remote place failed or refused."""
    split, shard = locate_shard(context.manifest, task)
    check = _ShardCheck(context, split, shard)
    faults = []
    for fault in check.faults(tick):
        faults.append(f"{shard.key}: {fault}")
        if len(faults) >= _MAX_FAULTS:
            break
    return CheckedShard(
        task=task, split=split, faults=tuple(faults), label_counts=check.label_counts, rejected=check.rejected
    )


class _ShardCheck:
    """One shard, what is beside it, and what was learned of it."""

    def __init__(self, context: CheckContext, split: str, shard: ShardEntry) -> None:
        self.label_counts: dict[str, int] | None = None
        self.rejected: tuple[str, ...] | None = None
        self._context = context
        self._split = split
        self._shard = shard
        self._store: Store = open_store(context.uri, context.store)
        self._container = get_format(context.manifest.format)

    def faults(self, tick: Tick) -> Iterator[str]:
        """Yield what is wrong, the table of records first, since it knows what the records should be."""
        table = None
        try:
            table = self._load_table()
        except DataSetError as error:
            yield str(error)
        if table is not None:
            yield from self._side_faults(table)
            yield from self._item_faults(table)
        try:
            view = self._store.view(self._shard.key)
        except ObjectNotFoundError:
            yield "is missing"
        except StoreError:
            raise
        except OSError as error:
            yield f"cannot be read: {error.strerror}"
        else:
            yield from self._content_faults(view)
            yield from self._record_faults(view, table, tick)

    def _load_table(self) -> pa.Table:
        """Return the table of records. Raises DataSetError unless it is the one that was written with the shard."""
        key = records_key(self._split, stem_of(self._shard.key))
        data = self._load(key)
        table = decode_records(data, name=key)
        if table_digest(table) != self._shard.records_sha256 or not is_same_file(table, data):
            raise DataSetError(f"its table {key} is not the one that was written with it")
        return table

    def _load(self, key: str) -> bytes:
        try:
            return self._store.get(key)
        except ObjectNotFoundError:
            raise DataSetError(f"its {key} is missing") from None
        except StoreError:
            raise
        except OSError as error:
            raise DataSetError(f"its {key} cannot be read: {error.strerror}") from None

    def _side_faults(self, table: pa.Table) -> Iterator[str]:
        """Compare the table with the manifest's counts, and the files beside the shard with the table."""
        self.label_counts = _count_labels(table)
        num_fills = pc.sum(table.column("is_fill")).as_py() or 0
        for name, found in (("num_records", table.num_rows), ("num_fills", num_fills)):
            if found != getattr(self._shard, name):
                yield f"{name} is {getattr(self._shard, name)} in the manifest, {found} in its table of records"
        stem = stem_of(self._shard.key)
        try:
            index = self._load(index_key(self._split, stem))
            if hashlib.sha256(index).hexdigest() != self._shard.index_sha256:
                yield f"its index {index_key(self._split, stem)} is not the one that was written with it"
            for key, data in side_files(self._container, table, split=self._split, stem=stem).items():
                if self._load(key) != data:
                    yield f"its {key} is not the one that was written with it"
        except DataSetError as error:
            yield str(error)

    def _item_faults(self, table: pa.Table) -> Iterator[str]:
        """Compare the keys of the records with the keys of the items that are planned for the shard."""
        plan, index = self._context.plan, shard_index_of(self._shard.key)
        if plan is None or (task := plan.header.task_of(self._split, index)) is None:
            return
        try:
            planned = load_shard_items(self._store, plan, task).column("key").to_pylist()
        except StoreError:
            raise
        except (DataSetError, OSError, KeyError):  # told of the plan
            return
        packed = iter(table.column("key").filter(pc.invert(table.column("is_fill"))).to_pylist())
        key, rejected = next(packed, None), []
        for wanted in planned:
            if key == wanted:
                key = next(packed, None)
            else:
                rejected.append(wanted)
        if key is None:
            self.rejected = tuple(rejected)
        else:
            yield f"its table of records has {key}, which the plan does not have there"

    def _content_faults(self, view: memoryview) -> Iterator[str]:
        """Compare the file as a whole with the manifest."""
        shard = self._shard
        if len(view) != shard.num_bytes:
            yield f"expected {shard.num_bytes:,} bytes, found {len(view):,}"
        digest = hashlib.sha256(view).hexdigest()
        if digest != shard.sha256:
            others = manifest_shards(self._context.manifest)
            owner = next((other.key for _, other in others if other.sha256 == digest), None)
            yield f"its content is that of {owner}" if owner else f"expected sha256 {shard.sha256}, found {digest}"

    def _record_faults(self, view: memoryview, table: pa.Table | None, tick: Tick) -> Iterator[str]:
        """Read the records, and compare each with its row where there are rows."""
        records: list[Record] = []
        try:
            for record in self._container.iter_buffer(view, name=self._shard.key):
                records.append(record)
                tick(1, record.num_bytes)
        except CorruptRecordError as error:
            yield str(error).removeprefix(f"{self._shard.key}: ")
            return
        if len(records) != self._shard.num_records:
            yield f"expected {self._shard.num_records:,} records, found {len(records):,}"
        elif table is not None and table.num_rows == len(records):
            yield from self._size_faults(records, table)
            yield from self._sample_faults(records, table)

    def _size_faults(self, records: list[Record], table: pa.Table) -> Iterator[str]:
        """Compare the records' sizes with the table, and where they begin with the index."""
        try:
            starts = load_places(self._store, self._container, self._split, self._shard).offsets_bytes
        except StoreError:
            raise
        except (CorruptRecordError, OSError):  # told of the index
            starts = [record.offset_bytes for record in records]
        if len(starts) != len(records):
            yield f"expected {len(records):,} records in its index, found {len(starts):,}"
            return
        for record, offset, size in zip(records, starts, table.column("num_bytes").to_pylist(), strict=True):
            if (record.offset_bytes, record.num_bytes) != (offset, size):
                yield f"{_place(record)}: expected {size:,} bytes at {offset:,}, found {record.num_bytes:,}"
                return

    def _sample_faults(self, records: list[Record], table: pa.Table) -> Iterator[str]:
        """Compare each sample with its row, and decode its image where that is asked for."""
        keys = table.column("key").to_pylist()
        labels = table.column("label").to_pylist() if "label" in table.column_names else [None] * len(records)
        digests = table.column("source_sha256").to_pylist()
        fields = FieldCheck(self._context.manifest.declared, self._container, table)
        for record, key, label, digest in zip(records, keys, labels, digests, strict=True):
            try:
                sample = self._container.decode_sample(record.payload)
                if self._context.decode:
                    _decode_image(sample)
            except CorruptRecordError as error:
                yield f"{_place(record)}: {error.problem}"
                continue
            except PackerError as error:
                yield f"{_place(record)}: the image of {key} does not decode: {error}"
                continue
            if fault := fields.fault(sample, record.index, decode=self._context.decode):
                yield f"{_place(record)}: {key}: {fault}"
                continue
            wanted = sample.label if fields.labels_are_boxes else tuple(label) if isinstance(label, list) else label
            if not _same_label(sample, wanted) or not _same_source(sample, key, digest):
                found = sample.key or "a sample"
                yield f"{_place(record)}: expected {key} with label {wanted}, found {found} with label {sample.label}"


def _place(record: Record) -> str:
    return f"record {record.index} at byte {record.offset_bytes:,}"


def _count_labels(table: pa.Table) -> dict[str, int]:
    if "label" not in table.column_names or not pa.types.is_integer(table.schema.field("label").type):
        return {}
    labels = table.column("label").filter(pc.invert(table.column("is_fill")))
    return {str(label): count for label, count in Counter(labels.to_pylist()).items()}


def _same_source(sample: Sample, key: str, digest: bytes) -> bool:
    """Compare key and digest where the container holds them."""
    return not sample.key or (sample.key, sample.source_sha256) == (key, digest.hex())


def _same_label(sample: Sample, expected: object) -> bool:
    if isinstance(expected, tuple) and not isinstance(sample.label, tuple):
        expected = expected[0] if len(expected) == 1 else expected
    return sample.label == expected or (expected is None and sample.label == -1)


def _decode_image(sample: Sample) -> None:
    from packer.imaging.check import check_decodes

    width, height = check_decodes(sample.encoded)
    if sample.width and (sample.width, sample.height) != (width, height):
        raise DataSetError(f"it is {width}x{height} pixels, its record says {sample.width}x{sample.height}")
