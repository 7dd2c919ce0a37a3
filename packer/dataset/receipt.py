"""What the packing of one shard leaves for the commit."""

from __future__ import annotations

import contextlib
import re

import msgspec

from packer.dataset.document import Place, decode_versioned, lowest_version
from packer.dataset.manifest import ShardEntry
from packer.dataset.pixels import PixelSums
from packer.errors import DataSetError
from packer.planning.layout import RECEIPTS_PREFIX, old_receipt_key, receipt_key
from packer.stores.store import ObjectNotFoundError, Store

RECEIPT_VERSION = 1
"""The highest version of a receipt that can be read."""
_REMEDY = "delete it, then `resume=True`"


class RejectedItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item that could not become a sample; a line of `meta/rejects.jsonl`."""

    key: str
    split: str
    shard: str
    reason: str
    detail: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One packed shard, as found in `meta/receipts/<first 16 digits of the plan id>/` until the commit."""

    version: int = 1
    """Of this document's shape; release 0.1.0 wrote none."""
    plan_id: str
    shard: ShardEntry
    label_counts: dict[str, int]
    pixels: PixelSums
    rejects: tuple[RejectedItem, ...]


def put_receipt(store: Store, stem: str, receipt: Receipt) -> None:
    """Write a shard's receipt, after everything that it vouches for."""
    receipt = msgspec.structs.replace(receipt, version=lowest_version(receipt))
    store.put(receipt_key(receipt.plan_id, stem), [msgspec.json.encode(receipt, order="sorted")])


def load_receipt(store: Store, stem: str, *, plan_id: str) -> Receipt | None:
    """Return a shard's receipt, or None where there is none of this plan.

    Raises:
        NewerVersionError: a newer release wrote it.
        DataSetError: it cannot be read, or is another shard's.
    """
    for key in (receipt_key(plan_id, stem), old_receipt_key(stem)):
        try:
            data = store.get(key)
        except ObjectNotFoundError:
            continue
        name = f"{store.uri}/{key}"
        receipt = _decode(data, name)
        split = stem.rsplit("-", 3)[0]
        if not re.fullmatch(re.escape(f"{split}/{stem}.") + "[a-z]+", receipt.shard.key):
            raise DataSetError(f"{name}: expected the receipt of {stem}, found {receipt.shard.key!r}; {_REMEDY}")
        if receipt.plan_id == plan_id:
            return receipt
    return None


def _decode(data: bytes, name: str) -> Receipt:
    return decode_versioned(data, Receipt, newest=RECEIPT_VERSION, place=Place(name=name, remedy=_REMEDY))


def receipts_plan(store: Store) -> str | None:
    """Return the first 16 digits of the id of the plan that receipts are of; None where there are none.

    Raises DataSetError where they are of several plans.
    """
    plans = set[str]()
    for info in store.list(RECEIPTS_PREFIX):
        folder, is_in_folder, _ = info.key.removeprefix(RECEIPTS_PREFIX).partition("/")
        if is_in_folder:
            plans.add(folder)
            continue
        with contextlib.suppress(DataSetError, ObjectNotFoundError):  # one that is cut tells nothing
            plans.add(_decode(store.get(info.key), f"{store.uri}/{info.key}").plan_id[:16])
    if len(plans) > 1:
        raise DataSetError(
            f"{store.uri}/{RECEIPTS_PREFIX}: holds receipts of several plans; start anew with `overwrite=True`"
        )
    return next(iter(plans), None)
