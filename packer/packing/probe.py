"""Measuring records before planning: some items are really decoded and encoded, nothing is written."""

from __future__ import annotations

import msgspec

from packer.engines.engine import Tick
from packer.formats.registry import get_format
from packer.imaging.rejects import RejectError
from packer.packing.fetch import fetch_files
from packer.packing.sample import ItemRow
from packer.packing.samples import BuiltSample, build_samples
from packer.specs import DEFAULT_STORE, ITEM_LIMIT_S, FormatName, ImageSpec, StoreOptions
from packer.stores.open_store import open_store

ITEMS_PER_TASK = 16


class ProbeContext(msgspec.Struct, frozen=True, kw_only=True):
    """Items to measure; task t measures ``items[16 t : 16 t + 16]``."""

    source_root: str
    source_store: StoreOptions = DEFAULT_STORE
    format: FormatName
    image: ImageSpec
    item_limit_s: float = ITEM_LIMIT_S
    """Seconds that decoding and encoding one item may take."""
    items: tuple[ItemRow, ...]


class ProbedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One measured item: the framed size of its record, or why it has none."""

    num_bytes: int | None
    problem: str


def probe_items(context: ProbeContext, task: int, tick: Tick) -> tuple[int, list[ProbedItem]]:
    """Return the task's number and its items' sizes in their order. Raises as `fetch_files`."""
    items = context.items[ITEMS_PER_TASK * task : ITEMS_PER_TASK * (task + 1)]
    source, container = open_store(context.source_root, context.source_store), get_format(context.format)
    probed = []

    def take(index: int, outcome: BuiltSample | RejectError) -> None:
        item = items[index]
        if isinstance(outcome, RejectError):
            problem = f"{item.key}: {outcome.reason}: {outcome.detail}"
            probed.append(ProbedItem(num_bytes=None, problem=problem))
        else:
            num_bytes = container.open_writer("train", 0).add(outcome.sample, 0)
            probed.append(ProbedItem(num_bytes=num_bytes, problem=""))
        tick(1, item.num_bytes_of_all)

    build_samples(items, fetch_files(source, items), context.image, limit_s=context.item_limit_s, take=take)
    return task, probed
