"""Is a data set what its manifest says? Every byte of every shard is read; every fault found is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from packer.channels.key_lists import key_list_faults
from packer.dataset.documentcheck import document_faults
from packer.dataset.load import load_manifest
from packer.dataset.manifest import Manifest
from packer.dataset.plancheck import find_plan, reject_faults
from packer.dataset.shardcheck import CheckContext, CheckedShard, check_shard, manifest_shards
from packer.dataset.strays import find_strays
from packer.engines.engine import Engine
from packer.planning.layout import MANIFEST_KEY
from packer.progress import Progress
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.open_store import open_store, share_options
from packer.stores.store import Store


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
        StoreError: a remote place failed or refused, which is no fault of the data set.
    """
    store = open_store(uri, options)
    manifest = load_manifest(store)
    shards = list(manifest_shards(manifest))
    faults = [*document_faults(store, manifest, key_list_faults), *_stray_files(store, manifest)]
    shared = share_options(store.uri, options)
    plan = find_plan(store, manifest)
    context = CheckContext(uri=store.uri, manifest=manifest, plan=plan, decode=decode, store=shared)
    checks: dict[int, CheckedShard] = {}
    with progress.phase("verifying", total=sum(shard.num_records for _, shard in shards)):
        for check in engine.run(check_shard, context, range(len(shards)), progress.advance):
            checks[check.task] = check
    faults += [fault for task in sorted(checks) for fault in checks[task].faults]
    faults += _label_count_faults(manifest, checks.values())
    if plan is not None:
        rejected = {shards[task][1].key: check.rejected for task, check in checks.items()}
        faults += reject_faults(store, plan, rejected)
    return VerifyReport(
        uri=store.uri,
        num_shards=len(shards),
        num_records=sum(shard.num_records for _, shard in shards),
        num_bytes=sum(shard.num_bytes for _, shard in shards),
        faults=tuple(faults),
    )


def _stray_files(store: Store, manifest: Manifest) -> Iterator[str]:
    expected = {shard.key for _, shard in manifest_shards(manifest)}
    beside = {info.key for name in manifest.splits for info in store.list(f"{name}/") if info.key not in expected}
    for key in sorted(beside):
        yield f"{key}: is not in the manifest; readers of the whole prefix would read it too: remove it"
    for key in sorted({*find_strays(store, expected)} - beside):
        yield f"{key}: belongs to no shard of the manifest; a run that was replaced left it: remove it"


def _label_count_faults(manifest: Manifest, checks: Iterable[CheckedShard]) -> Iterator[str]:
    """Compare the manifest's counts of labels with the records, where every table could be read."""
    found: dict[str, Counter[str]] = {name: Counter() for name in manifest.splits}
    for check in checks:
        if check.label_counts is None:
            return
        found[check.split].update(check.label_counts)
    for name, split in manifest.splits.items():
        for label in sorted({*split.label_counts, *found[name]}):
            counted, held = split.label_counts.get(label, 0), found[name][label]
            if counted != held:
                yield f"{MANIFEST_KEY}: {name}.label_counts has {counted} items of class {label}, its shards {held}"
                break
