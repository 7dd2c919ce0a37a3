"""What items look like, to find near-duplicates before planning."""

from __future__ import annotations

import msgspec

from packer.engines.engine import Tick
from packer.imaging.rejects import RejectError
from packer.packing.fetch import fetch_ahead
from packer.packing.hashing import ITEMS_PER_HASH_TASK
from packer.packing.sample import ItemRow
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.open_store import open_store


class LookContext(msgspec.Struct, frozen=True, kw_only=True):
    """Items to look at; task t takes ``items[256 t : 256 t + 256]``."""

    source_root: str
    source_store: StoreOptions = DEFAULT_STORE
    items: tuple[ItemRow, ...]
    max_pixels: int
    """Larger pictures are not looked at."""


def look_at_items(context: LookContext, task: int, tick: Tick) -> tuple[int, list[bytes | None]]:
    """Return the task's number and its items' perceptual hashes, None for those that have none.

    Raises as `fetch_ahead`, also MissingExtraError.
    """
    from packer.imaging.perceptual import (
        perceptual_hash,  # the image libraries, which the process that plans leaves out
    )

    items = context.items[ITEMS_PER_HASH_TASK * task : ITEMS_PER_HASH_TASK * (task + 1)]
    source = open_store(context.source_root, context.source_store)
    hashes: list[bytes | None] = []
    for item, data in zip(items, fetch_ahead(source, items), strict=True):
        found = None if isinstance(data, RejectError) else perceptual_hash(data, max_pixels=context.max_pixels)
        hashes.append(found)
        tick(1, item.num_bytes)
    return task, hashes
