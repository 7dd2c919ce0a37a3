"""The share of items that may be rejected, and what a run leaves that passes it: the list of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from packer.dataset.planfile import PlanDocument
from packer.dataset.receipt import RejectedItem, load_receipt
from packer.errors import TooManyRejectsError
from packer.planning.layout import REJECTS_KEY, shard_stem
from packer.stores.readahead import read_in_order
from packer.stores.store import Store

_MAX_EXAMPLES = 3


def is_over(num_rejects: int, num_items: int, max_rejects: float) -> bool:
    """Say whether more than a share of the items was rejected."""
    return num_rejects > max_rejects * num_items


def check_probed(problems: Sequence[str], num_items: int, max_rejects: float) -> None:
    """Raise TooManyRejectsError where the items that were measured before packing are too many already."""
    if is_over(len(problems), num_items, max_rejects):
        raise TooManyRejectsError(
            f"{_told(len(problems), num_items, max_rejects)}; nothing was packed; mend the source, or raise "
            f"`max_rejects`; for example {'; '.join(problems[:_MAX_EXAMPLES])}"
        )


def refuse_rejects(dest: Store, rejects: Sequence[RejectedItem], num_items: int, max_rejects: float) -> None:
    """Raise TooManyRejectsError where more than a share was rejected, and leave the list of them at the destination."""
    if not is_over(len(rejects), num_items, max_rejects):
        return
    dest.put(REJECTS_KEY, [encode_rejects(rejects)])
    examples = "; ".join(f"{reject.key}: {reject.reason}" for reject in rejects[:_MAX_EXAMPLES])
    raise TooManyRejectsError(
        f"{_told(len(rejects), num_items, max_rejects)}; nothing was committed; mend the source and start anew, or "
        f"raise `max_rejects` and `resume=True` (after pack `part`: give it to commit); for example {examples}; all "
        f"that are known are listed in {dest.uri}/{REJECTS_KEY}"
    )


def encode_rejects(rejects: Iterable[RejectedItem]) -> bytes:
    """Return the content of `meta/rejects.jsonl`: a line for each."""
    return b"".join(msgspec.json.encode(reject) + b"\n" for reject in rejects)


def stored_rejects(dest: Store, document: PlanDocument) -> list[RejectedItem]:
    """Return what was rejected of the shards that are packed by now, in the plan's order."""
    stems = [
        shard_stem(split.name, index, split.num_shards)
        for split in document.header.splits
        for index in range(split.num_shards)
    ]
    receipts = read_in_order(dest, stems, lambda stem: load_receipt(dest, stem, plan_id=document.plan_id))
    return list(_all_rejects(receipts))


def _all_rejects(receipts: Iterable[object]) -> Iterator[RejectedItem]:
    for receipt in receipts:
        yield from getattr(receipt, "rejects", ())


def _told(num_rejects: int, num_items: int, max_rejects: float) -> str:
    were = "was" if num_rejects == 1 else "were"
    return f"{num_rejects:,} of {num_items:,} items {were} rejected, expected at most {max_rejects:.2%} (`max_rejects`)"
