"""What the packing of one shard leaves for the commit."""

from __future__ import annotations

import msgspec

from packer.dataset.document import decode_document
from packer.dataset.manifest import ShardEntry
from packer.dataset.pixels import PixelSums
from packer.planning.layout import receipt_key
from packer.stores.store import ObjectNotFoundError, Store


class RejectedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item that could not become a sample; a line of `meta/rejects.jsonl`."""

    key: str
    split: str
    shard: str
    reason: str
    detail: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One packed shard, as found in `meta/receipts/` until the commit."""

    plan_id: str
    shard: ShardEntry
    label_counts: dict[str, int]
    pixels: PixelSums
    rejects: tuple[RejectedItem, ...]


def put_receipt(store: Store, stem: str, receipt: Receipt) -> None:
    """Write a shard's receipt, after everything that it vouches for."""
    store.put(receipt_key(stem), [msgspec.json.encode(receipt, order="sorted")])


def load_receipt(store: Store, stem: str, *, plan_id: str) -> Receipt | None:
    """Return a shard's receipt, or None where there is none of this plan."""
    try:
        data = store.get(receipt_key(stem))
    except ObjectNotFoundError:
        return None
    name = f"{store.uri}/{receipt_key(stem)}"
    receipt = decode_document(data, Receipt, name=name, remedy="delete it, then --resume")
    return receipt if receipt.plan_id == plan_id else None
