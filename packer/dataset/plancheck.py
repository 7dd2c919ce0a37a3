"""Is the plan of a data set whole, and do its items and the rejects add up to what was packed?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest

import msgspec

from packer.dataset.document import decode_document
from packer.dataset.manifest import Manifest
from packer.dataset.planfile import PlanDocument, iter_parts, load_plan
from packer.dataset.receipt import RejectedItem
from packer.errors import DataSetError, StoreError
from packer.planning.digest import TableDigest
from packer.planning.layout import PLAN_KEY, PLAN_PARTS_PREFIX, REJECTS_KEY, shard_stem, stem_of
from packer.planning.plan import PlannedSplit, digest_of_splits, without_tags
from packer.stores.store import Store


def find_plan(store: Store, manifest: Manifest) -> PlanDocument | None:
    """Return the plan of a data set, or None where it cannot be read or is another's.

    Raises StoreError where a remote place failed or refused.
    """
    try:
        plan = load_plan(store)
    except StoreError:
        raise
    except (DataSetError, OSError):
        return None
    return plan if plan is not None and plan.plan_id == manifest.plan_id else None


def item_faults(store: Store, manifest: Manifest) -> Iterator[str]:
    """Compare the files of the plan's items with its header.

    Raises:
        DataSetError: a file is damaged.
        OSError: the store failed or refused.
    """
    plan = find_plan(store, manifest)
    if plan is None:  # told of the header
        return
    if plan.encoder.sha256 != plan.header.encoder_sha256:
        yield f"{PLAN_KEY}: the encoder's digest is {plan.encoder.sha256}, the header says {plan.header.encoder_sha256}"
    found = digest_of_splits(_digest(store, plan, split) for split in plan.header.splits)
    if found != plan.header.items_sha256:
        files = f"{PLAN_PARTS_PREFIX}{plan.plan_id[:16]}-*.parquet"
        yield f"{files}: the digest of the items is {found}, the plan says {plan.header.items_sha256}"


def _digest(store: Store, plan: PlanDocument, split: PlannedSplit) -> str:
    digest = None
    for by_shard in iter_parts(store, plan, split):
        for items in map(without_tags, by_shard):
            digest = digest or TableDigest(items.schema)
            digest.update(items)
    assert digest is not None  # each split has a shard
    return digest.finish()


def load_rejects(store: Store) -> list[RejectedItem]:
    """Return the rejects of a data set.

    Raises:
        DataSetError: a line is not what is written there.
        OSError: they cannot be read.
    """
    rejects = []
    for number, line in enumerate(store.get(REJECTS_KEY).splitlines(keepends=True), start=1):
        name = f"{REJECTS_KEY}: line {number}"
        reject = decode_document(line, RejectedItem, name=name, remedy="restore the file")
        if msgspec.json.encode(reject) + b"\n" != line:
            raise DataSetError(f"{name}: is not the line that is written of what it says; restore the file")
        rejects.append(reject)
    return rejects


def reject_faults(store: Store, plan: PlanDocument, rejected: Mapping[str, tuple[str, ...] | None]) -> Iterator[str]:
    """Compare the rejects with the items that are planned for a shard and not in it.

    Args:
        store: the data set.
        plan: its plan.
        rejected: those items' keys by the key of their shard, or None where they are not known.

    Raises StoreError where a remote place failed or refused.
    """
    try:
        rejects = load_rejects(store)
    except StoreError:
        raise
    except (DataSetError, OSError):  # told of the documents
        return
    by_stem = {stem_of(key): keys for key, keys in rejected.items()}
    if plan.command != "pack":  # a copy has the rejects of the first packing, which are in no plan of its own
        rejects = []
    expected = [
        (split.name, stem, key)
        for split in plan.header.splits
        for stem in (shard_stem(split.name, index, split.num_shards) for index in range(split.num_shards))
        for key in by_stem.get(stem) or ()
    ]
    if None in by_stem.values():
        return
    found = [(reject.split, reject.shard, reject.key) for reject in rejects]
    for number, (wanted, got) in enumerate(zip_longest(expected, found), start=1):
        if wanted != got:
            yield f"{REJECTS_KEY}: line {number}: expected {_text(wanted)}, found {_text(got)}"
            return


def _text(reject: tuple[str, str, str] | None) -> str:
    return f"{reject[2]} of {reject[1]}" if reject else "no more items"
