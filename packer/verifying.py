"""Is a data set what its manifest says? Every byte of every shard is read; every fault found is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from packer.channels.key_lists import key_list_faults
from packer.dataset.croissant import croissant_faults
from packer.dataset.documentcheck import document_faults
from packer.dataset.load import load_manifest
from packer.dataset.manifest import Manifest
from packer.dataset.plancheck import find_plan, reject_faults
from packer.dataset.shardcheck import CheckContext, CheckedShard, check_shard, manifest_shards
from packer.dataset.strays import find_strays
from packer.engines.engine import Engine
from packer.planning.layout import MANIFEST_KEY
from packer.progress import Progress
from packer.run import Run, Work, do
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


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """What is checked, and how."""

    decode: bool
    """Every image is decoded as well."""
    store: StoreOptions
    """How a remote place is reached."""


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
    asked = VerifyOptions(decode=decode, store=options)
    return _verify(Run(options=asked, engine=engine, progress=progress, source=uri, dest=open_store(uri, options)))


def _verify(run: Run[VerifyOptions]) -> VerifyReport:
    store = run.dest
    manifest = load_manifest(store)
    shards = list(manifest_shards(manifest))
    faults = [*document_faults(store, manifest, key_list_faults, croissant_faults), *_stray_files(store, manifest)]
    plan = find_plan(store, manifest)
    context = CheckContext(
        uri=store.uri,
        manifest=manifest,
        plan=plan,
        decode=run.options.decode,
        store=share_options(store.uri, run.options.store),
    )
    work = Work(
        phase="verifying",
        num_items=sum(shard.num_records for _, shard in shards),
        function=check_shard,
        context=context,
        tasks=range(len(shards)),
    )
    checks = sorted(do(run, work), key=lambda check: check.task)
    faults += [fault for check in checks for fault in check.faults]
    faults += _label_count_faults(manifest, checks)
    if plan is not None:
        rejected = {shards[check.task][1].key: check.rejected for check in checks}
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
