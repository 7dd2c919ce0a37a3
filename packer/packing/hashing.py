"""Digests of items' bytes, to find exact copies before planning."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from packer.engines.engine import Tick
from packer.imaging.rejects import RejectError
from packer.packing.fetch import fetch_ahead
from packer.packing.sample import ItemRow
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.open_store import open_store

ITEMS_PER_HASH_TASK = 256


class HashContext(msgspec.Struct, frozen=True, kw_only=True):
    """Items to hash; task t takes ``items[256 t : 256 t + 256]``."""

    source_root: str
    source_store: StoreOptions = DEFAULT_STORE
    items: tuple[ItemRow, ...]


def hash_items(context: HashContext, task: int, tick: Tick) -> tuple[int, list[bytes | None]]:
    """Return the task's number and its items' sha256, None for those that have no bytes. Raises as `fetch_ahead`."""
    items = context.items[ITEMS_PER_HASH_TASK * task : ITEMS_PER_HASH_TASK * (task + 1)]
    return task, hash_rows(items, context.source_root, context.source_store, tick)


def hash_rows(items: Sequence[ItemRow], root: str, store: StoreOptions, tick: Tick) -> list[bytes | None]:
    """Return the items' sha256, None for those that have no bytes. Raises as `fetch_ahead`."""
    digests: list[bytes | None] = []
    for item, data in zip(items, fetch_ahead(open_store(root, store), items), strict=True):
        digests.append(None if isinstance(data, RejectError) else hashlib.sha256(data).digest())
        tick(1, item.num_bytes)
    return digests
