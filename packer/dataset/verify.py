"""Is a data set what its manifest says? Every byte of every shard is read; every fault found is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import accumulate

import msgspec
import pyarrow as pa

from packer.dataset.load import load_manifest
from packer.dataset.model import Manifest, ShardEntry
from packer.dataset.recordstable import decode_records
from packer.engines.base import Engine, Tick
from packer.errors import DataSetError, PackerError
from packer.formats.base import Record, Sample
from packer.formats.registry import get_format
from packer.options import DEFAULT_STORE, FormatName, StoreOptions
from packer.planning.digest import table_digest
from packer.planning.names import META_PREFIX, index_key, merged_index_key, records_key
from packer.progress import Progress
from packer.stores.base import ObjectNotFoundError, Store
from packer.stores.open import open_store

_MAX_FAULTS_PER_SHARD = 5


class VerifyContext(msgspec.Struct, frozen=True, kw_only=True):
    """What every task is given; task t checks the t-th shard of all splits in order."""

    uri: str
    manifest: Manifest
    decode: bool
    store: StoreOptions = DEFAULT_STORE


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked and what is wrong."""

    uri: str
    num_shards: int
    num_records: int
    num_bytes: int
    faults: tuple[str, ...]


def verify(
    uri: str, engine: Engine, progress: Progress, *, decode: bool = False, options: StoreOptions = DEFAULT_STORE
) -> VerifyReport:
    """Check a data set against its manifest; with `decode`, every image is decoded as well.

    `options` say how a remote place is reached.

    Raises:
        NotADataSetError: there is no manifest.
        DataSetError: the manifest cannot be read, was edited or contradicts itself.
    """
    store = open_store(uri, options)
    manifest = load_manifest(store)
    shards = list(manifest_shards(manifest))
    faults = list(_stray_files(store, manifest))
    context = VerifyContext(uri=store.uri, manifest=manifest, decode=decode, store=options)
    found: dict[int, list[str]] = {}
    with progress.phase("verifying", total=sum(shard.num_records for _, shard in shards)):
        for task, problems in engine.run(verify_shard, context, range(len(shards)), progress.advance):
            found[task] = problems
    faults += [problem for task in sorted(found) for problem in found[task]]
    return VerifyReport(
        uri=store.uri,
        num_shards=len(shards),
        num_records=sum(shard.num_records for _, shard in shards),
        num_bytes=sum(shard.num_bytes for _, shard in shards),
        faults=tuple(faults),
    )


def manifest_shards(manifest: Manifest) -> Iterator[tuple[str, ShardEntry]]:
    """Yield (split, shard) in the order of the manifest."""
    for name, split in manifest.splits.items():
        for shard in split.shards:
            yield name, shard


def _stray_files(store: Store, manifest: Manifest) -> Iterator[str]:
    expected = {shard.key for _, shard in manifest_shards(manifest)}
    for name in manifest.splits:
        for info in store.list(f"{name}/"):
            if info.key not in expected:
                yield f"{info.key}: is not in the manifest; readers of the whole prefix would read it too: remove it"
    if manifest.format is FormatName.RECORDIO:
        for name in manifest.splits:
            if not any(True for info in store.list(merged_index_key(name)) if info.key == merged_index_key(name)):
                yield f"{merged_index_key(name)}: is missing"
    if not any(True for _ in store.list(META_PREFIX + "plan.json")):
        yield f"{META_PREFIX}plan.json: is missing"


def verify_shard(context: VerifyContext, task: int, tick: Tick) -> tuple[int, list[str]]:
    """Return the task's number and what is wrong with its shard, at most a few faults."""
    split, shard = list(manifest_shards(context.manifest))[task]
    faults = []
    for fault in _shard_faults(context, split, shard, tick):
        faults.append(f"{shard.key}: {fault}")
        if len(faults) >= _MAX_FAULTS_PER_SHARD:
            break
    return task, faults


def _shard_faults(context: VerifyContext, split: str, shard: ShardEntry, tick: Tick) -> Iterator[str]:
    store = open_store(context.uri, context.store)
    try:
        view = store.view(shard.key)
    except ObjectNotFoundError:
        yield "is missing"
        return
    if len(view) != shard.num_bytes:
        yield f"expected {shard.num_bytes:,} bytes, found {len(view):,}"
    digest = hashlib.sha256(view).hexdigest()
    if digest != shard.sha256:
        owner = next((other.key for _, other in manifest_shards(context.manifest) if other.sha256 == digest), None)
        yield f"its content is that of {owner}" if owner else f"expected sha256 {shard.sha256}, found {digest}"
    container = get_format(context.manifest.format)
    records: list[Record] = []
    try:
        for record in container.iter_buffer(view, name=shard.key):
            records.append(record)
            tick(1, record.num_bytes)
    except PackerError as error:
        yield str(error).removeprefix(f"{shard.key}: ")
        return
    if len(records) != shard.num_records:
        yield f"expected {shard.num_records} records, found {len(records)}"
        return
    yield from _side_faults(context, split, shard, records)


def _side_faults(context: VerifyContext, split: str, shard: ShardEntry, records: list[Record]) -> Iterator[str]:
    """Compare the index and the table of records with the records themselves."""
    store = open_store(context.uri, context.store)
    stem = shard.key.rpartition("/")[2].rpartition(".")[0]
    try:
        index = store.get(index_key(split, stem))
        table_key = records_key(split, stem)
        table = decode_records(store.get(table_key), name=table_key)
    except ObjectNotFoundError as error:
        yield f"its index or table of records is missing: {error.filename}"
        return
    except DataSetError as error:
        yield str(error)
        return
    if hashlib.sha256(index).hexdigest() != shard.index_sha256:
        yield f"its index {index_key(split, stem)} is not the one that was written with it"
    if table_digest(table) != shard.records_sha256:
        yield f"its table {table_key} is not the one that was written with it"
        return
    sizes = table.column("num_bytes").to_pylist()
    offsets = [0, *accumulate(sizes)]
    for record, offset, size in zip(records, offsets, sizes, strict=False):
        if (record.offset_bytes, record.num_bytes) != (offset, size):
            yield f"record {record.index} at byte {record.offset_bytes:,}: expected {size} bytes at {offset:,}"
            return
    yield from _sample_faults(context, shard, records, table)


def _sample_faults(context: VerifyContext, shard: ShardEntry, records: list[Record], table: pa.Table) -> Iterator[str]:
    """Compare each sample with its row, and decode its image where that is asked for."""
    container = get_format(context.manifest.format)
    labels = table.column("label").to_pylist() if "label" in table.column_names else [None] * len(records)
    keys = table.column("key").to_pylist()
    digests = table.column("source_sha256").to_pylist()
    for record, key, label, digest in zip(records, keys, labels, digests, strict=True):
        try:
            sample = container.decode_sample(
                record.payload, name=shard.key, record_index=record.index, offset_bytes=record.offset_bytes
            )
            if context.decode:
                _decode_image(sample)
        except PackerError as error:
            yield str(error).removeprefix(f"{shard.key}: ")
            continue
        wanted = tuple(label) if isinstance(label, list) else label
        if not _same_label(sample, wanted) or (
            sample.key and (sample.key, sample.source_sha256) != (key, digest.hex())
        ):
            yield (
                f"record {record.index} at byte {record.offset_bytes:,}: expected {key} with label {wanted}, "
                f"found {sample.key or 'a sample'} with label {sample.label}"
            )


def _same_label(sample: Sample, expected: object) -> bool:
    if isinstance(expected, tuple) and not isinstance(sample.label, tuple):
        expected = expected[0] if len(expected) == 1 else expected
    return sample.label == expected or (expected is None and sample.label == -1)


def _decode_image(sample: Sample) -> None:
    from packer.imaging.check import check_decodes

    check_decodes(sample.encoded)
