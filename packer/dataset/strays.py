"""Files of shards that do not belong to a data set: of a run that was replaced, or that slept while it was."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from packer.planning.layout import shard_key, shard_stem
from packer.planning.plan import PlanHeader
from packer.stores.store import Store

_FILE = re.compile(
    r"(?P<beside>meta/(?:records|index)/)?(?P<split>[a-z][a-z0-9-]*)/(?P<stem>(?P=split)-\d+-of-\d+)\.\w+"
)


def planned_shards(header: PlanHeader, suffix: str) -> frozenset[str]:
    """Return the keys of a plan's shards, whose container's names end in `suffix`."""
    return frozenset(
        shard_key(split.name, shard_stem(split.name, index, split.num_shards), suffix)
        for split in header.splits
        for index in range(split.num_shards)
    )


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
