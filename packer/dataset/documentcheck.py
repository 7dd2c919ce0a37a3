"""Are the documents of a data set at one with its manifest? Shards are `shardcheck`'s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from packer.dataset.commit import labels_file
from packer.dataset.copies import COPIES_SCHEMA, copies_faults, find_copies
from packer.dataset.duplicates import count_duplicates
from packer.dataset.manifest import Manifest
from packer.dataset.near_list import near_faults
from packer.dataset.plancheck import item_faults, load_rejects
from packer.dataset.planfile import load_plan
from packer.dataset.sidefiles import iter_split_index
from packer.errors import PackerError, StoreError
from packer.formats.registry import get_format
from packer.planning.layout import (
    LABELS_KEY,
    MANIFEST_KEY,
    PLAN_KEY,
    REJECTS_KEY,
    merged_index_key,
    records_key,
    stem_of,
)
from packer.planning.plan import PlanHeader
from packer.stores.store import ObjectNotFoundError, Store

_SHARED_FIELDS = (
    *("world", "format", "seed", "target_bytes", "stratify", "image", "encoder_sha256", "label_kind", "num_classes"),
)
"""Fields that a manifest takes from its plan."""


FaultFinder: TypeAlias = Callable[[Store, Manifest], Iterable[str]]
"""Yields what is wrong with some documents of a data set."""


def document_faults(store: Store, manifest: Manifest, *others: FaultFinder) -> Iterator[str]:
    """Yield what is wrong with the plan, labels, rejects and merged indexes, then what `others` find.

    Raises StoreError where a remote place failed or refused: that says nothing of the data set.
    """
    for check in (_plan_faults, item_faults, _reject_faults, _index_faults, _duplicate_faults, *others):
        try:
            yield from check(store, manifest)
        except ObjectNotFoundError as error:
            yield f"{error.filename}: is missing"
        except StoreError:
            raise
        except OSError as error:
            yield f"{error.filename}: cannot be read: {error.strerror}"
        except (PackerError, UnicodeDecodeError) as error:
            yield " ".join(str(error).split())


def _plan_faults(store: Store, manifest: Manifest) -> Iterator[str]:
    document = load_plan(store)
    if document is None:
        yield f"{PLAN_KEY}: is missing"
        return
    header = document.header
    if document.plan_id != manifest.plan_id:
        yield f"{PLAN_KEY}: expected plan {manifest.plan_id}, found {document.plan_id}"
        return
    for name in _SHARED_FIELDS:
        planned, found = getattr(header, name), getattr(manifest, name)
        if planned != found:
            yield f"{MANIFEST_KEY}: {name} is {found}, the plan says {planned}"
    yield from _split_faults(header, manifest)
    if store.get(LABELS_KEY) != labels_file(header):
        yield f"{LABELS_KEY}: differs from the plan's labels"


def _split_faults(header: PlanHeader, manifest: Manifest) -> Iterator[str]:
    planned = {split.name: split.num_shards for split in header.splits}
    found = {name: len(split.shards) for name, split in manifest.splits.items()}
    if planned != found:
        yield f"{MANIFEST_KEY}: has shards by split {found}, the plan says {planned}"


def _reject_faults(store: Store, manifest: Manifest) -> Iterator[str]:
    reasons = Counter(reject.reason for reject in load_rejects(store))
    if reasons != manifest.rejects:
        yield f"{REJECTS_KEY}: has rejects by reason {dict(sorted(reasons.items()))}, the manifest {manifest.rejects}"


def _index_faults(store: Store, manifest: Manifest) -> Iterator[str]:
    for name, split in manifest.splits.items():
        key, parts = merged_index_key(name), iter_split_index(store, get_format(manifest.format), name, split.shards)
        if parts is not None and not _is_joined(store.view(key), parts):
            yield f"{key}: is not the one that the indexes of the shards make"


def _is_joined(view: memoryview, parts: Iterable[bytes]) -> bool:
    """Say whether a file is the parts one after another, which are taken up to the first that differs."""
    start = 0
    for part in parts:
        if bytes(view[start : start + len(part)]) != part:
            return False
        start += len(part)
    return start == len(view)


def _duplicate_faults(store: Store, manifest: Manifest) -> Iterator[str]:
    keys = [records_key(name, stem_of(shard.key)) for name, split in manifest.splits.items() for shard in split.shards]
    num_items = sum(split.num_records - split.num_fills for split in manifest.splits.values())
    found = count_duplicates(store, keys, num_items=num_items)
    if found != manifest.num_duplicates:
        yield f"{MANIFEST_KEY}: num_duplicates is {manifest.num_duplicates}, the tables of records have {found}"
    document = load_plan(store)
    if document is not None:
        copies = find_copies(store, keys, num_items=num_items) if found else COPIES_SCHEMA.empty_table()
        yield from copies_faults(store, document, copies)
        yield from near_faults(store, document)
