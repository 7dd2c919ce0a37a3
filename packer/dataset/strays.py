"""Files that do not belong to a data set: of a run that was replaced, or that slept while it was."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from packer.formats.registry import get_format
from packer.planning.layout import (
    COPIES_KEY,
    CROISSANT_KEY,
    LABELS_KEY,
    MANIFEST_KEY,
    META_PREFIX,
    NEAR_KEY,
    PLAN_KEY,
    PLAN_PARTS_PREFIX,
    RECEIPTS_PREFIX,
    REJECTS_KEY,
    RUN_KEY,
    SAGEMAKER_PREFIX,
    index_key,
    merged_index_key,
    plan_parts_prefix,
    receipts_prefix,
    records_key,
    shard_key,
    shard_stem,
    side_key,
)
from packer.planning.plan import PlanHeader
from packer.stores.store import Store

_FILE = re.compile(
    r"(?P<beside>meta/(?:records|index)/)?(?P<split>[a-z][a-z0-9-]*)/(?P<stem>(?P=split)-\d+-of-\d+)\.\w+"
)
_SHARD_KEY = re.compile(r"([a-z][a-z0-9-]*)/\1-\d{5,}-of-\d{5,}\.[a-z]+")
_DOCUMENTS = (MANIFEST_KEY, PLAN_KEY, LABELS_KEY, REJECTS_KEY, RUN_KEY, COPIES_KEY, NEAR_KEY)


def is_own(key: str) -> bool:
    """Say whether a key is one that runs write."""
    return key in (MANIFEST_KEY, CROISSANT_KEY) or key.startswith(META_PREFIX) or _SHARD_KEY.fullmatch(key) is not None


def is_unfinished(key: str) -> bool:
    """Say whether an object is one of those that only runs need which are not done: items of plans, and receipts."""
    return key.startswith((PLAN_PARTS_PREFIX, RECEIPTS_PREFIX))


def written_keys(header: PlanHeader) -> frozenset[str]:
    """Return the keys that runs of a plan write, but for its items, receipts, and what follows from the place."""
    container = get_format(header.format)
    keys = {*_DOCUMENTS}
    for split in header.splits:
        if container.index_split is not None:
            keys.add(merged_index_key(split.name))
        for stem in (shard_stem(split.name, index, split.num_shards) for index in range(split.num_shards)):
            keys.add(shard_key(split.name, stem, container.suffix))
            keys |= {index_key(split.name, stem), records_key(split.name, stem)}
            keys |= {side_key(split.name, stem, suffix) for suffix in container.side_suffixes}
    return frozenset(keys)


def find_replaced(store: Store, header: PlanHeader, plan_id: str) -> Iterator[str]:
    """Yield the keys of what an earlier run left that no run of a plan writes."""
    written = written_keys(header)
    # Images out of a table's rows stay until the data set is done: a run that goes on reads them.
    prefixes = (plan_parts_prefix(plan_id), receipts_prefix(plan_id), SAGEMAKER_PREFIX, f"{PLAN_PARTS_PREFIX}rows-")
    for info in store.list():
        if is_own(info.key) and info.key not in written and not info.key.startswith(prefixes):
            yield info.key


def find_strays(store: Store, shards: Collection[str]) -> Iterator[str]:
    """Yield the keys of shards that are not among these, and of files beside such."""
    stems = {key.rpartition(".")[0] for key in shards}
    for info in store.list():
        match = _FILE.fullmatch(info.key)
        if match is None:
            continue
        name = f"{match['split']}/{match['stem']}"
        if name not in stems if match["beside"] else info.key not in shards:
            yield info.key
