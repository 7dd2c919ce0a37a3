"""From receipts to a data set: side documents first, `manifest.json` last; then the scaffolding may go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from packer.dataset.copies import COPIES_SCHEMA, all_copies, encode_copies, find_copies
from packer.dataset.duplicates import count_duplicates
from packer.dataset.load import LabelsDocument
from packer.dataset.manifest import Manifest, PixelStatistics, SplitEntry, decode_manifest, encode_manifest
from packer.dataset.near_list import put_near
from packer.dataset.pixels import PixelSums, pixel_statistics
from packer.dataset.planfile import PlanDocument, load_plan
from packer.dataset.receipt import Receipt, load_receipt
from packer.dataset.reject_limit import encode_rejects, refuse_rejects
from packer.dataset.sidefiles import iter_split_index
from packer.dataset.strays import is_own, is_unfinished, written_keys
from packer.errors import ClaimLostError, DataSetError, StoreError
from packer.formats.registry import get_format
from packer.planning.layout import (
    COPIES_KEY,
    LABELS_KEY,
    MANIFEST_KEY,
    NEAR_KEY,
    PLAN_PARTS_PREFIX,
    RECEIPTS_PREFIX,
    REJECTS_KEY,
    RUN_KEY,
    merged_index_key,
    plan_parts_prefix,
    records_key,
    shard_stem,
    stem_of,
)
from packer.planning.plan import PlanHeader, PlannedSplit
from packer.progress import Progress
from packer.stores.readahead import read_in_order
from packer.stores.store import Store


class Inherited(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy takes over from the data set that it was made of."""

    pixels: PixelStatistics | None
    rejects: dict[str, int]
    rejects_file: bytes


Companions: TypeAlias = Callable[[Store, Manifest], Mapping[str, bytes]]
"""Documents beside a manifest that follow from it and from where it lies, by key, for the programs of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """How a run ends."""

    max_rejects: float
    """Share of the items that may have been rejected."""
    run_report: bytes
    """Content of `meta/run.json`: what is known of this run and not of the data."""
    inherited: Inherited | None = None
    """Rejects and statistics, where no image was decoded."""
    companions: Companions
    """What is written just before the manifest."""


def commit(dest: Store, document: PlanDocument, closing: Closing) -> Manifest:
    """Make a data set of packed shards and return its manifest.

    Args:
        dest: the claimed destination.
        document: its plan.
        closing: what else is to be said of it.

    Raises:
        DataSetError: a shard has no receipt, or its counts are not those of the plan.
        TooManyRejectsError: nothing is committed; shards and receipts stay for a resumed run.
    """
    header, inherited = document.header, closing.inherited
    receipts = {split.name: list(_receipts(dest, document, split)) for split in header.splits}
    every = [receipt for split in header.splits for receipt in receipts[split.name]]
    rejects = [reject for receipt in every for reject in receipt.rejects]
    num_items = sum(split.num_items for split in header.splits)
    refuse_rejects(dest, rejects, num_items, closing.max_rejects)
    dest.put(LABELS_KEY, [labels_file(header)])
    dest.put(REJECTS_KEY, [inherited.rejects_file if inherited else encode_rejects(rejects)])
    dest.put(RUN_KEY, [closing.run_report])
    for name, packed in receipts.items():
        index = iter_split_index(dest, get_format(header.format), name, [receipt.shard for receipt in packed])
        if index is not None:
            dest.put(merged_index_key(name), list(index))
    keys = [records_key(name, stem_of(receipt.shard.key)) for name, packed in receipts.items() for receipt in packed]
    duplicates = count_duplicates(dest, keys, num_items=num_items)
    copies = find_copies(dest, keys, num_items=num_items) if duplicates else COPIES_SCHEMA.empty_table()
    copies = all_copies(dest, document, copies)
    if copies.num_rows:
        dest.put(COPIES_KEY, [encode_copies(copies)])
    has_near = put_near(dest, document)
    manifest = _manifest(document, receipts, num_duplicates=duplicates)
    if inherited is not None:
        manifest = msgspec.structs.replace(manifest, pixels=inherited.pixels, rejects=inherited.rejects)
    data = encode_manifest(manifest)
    companions = closing.companions(dest, manifest)
    for key, companion in companions.items():
        dest.put(key, [companion])
    check_claim(dest, document)
    written = written_keys(header) - {MANIFEST_KEY} | companions.keys()
    has_lists = {COPIES_KEY: copies.num_rows > 0, NEAR_KEY: has_near}
    _leave_alone(dest, written - {key for key, is_there in has_lists.items() if not is_there}, every)
    dest.put(MANIFEST_KEY, [data])
    return decode_manifest(data, name=f"{dest.uri}/{MANIFEST_KEY}")


def _leave_alone(dest: Store, written: Set[str], receipts: Iterable[Receipt]) -> None:
    """See that a place holds all that was written, and remove what is left of a run whose place this was.

    Readers of a whole prefix would read a shard of that run too. Where removing is not allowed it stays, and `verify`
    names it.

    Raises DataSetError where something is not there.
    """
    found = {info.key: info.num_bytes for info in dest.list()}
    missing = [key for key in sorted(written) if key not in found]
    missing += [r.shard.key for r in receipts if found.get(r.shard.key, r.shard.num_bytes) != r.shard.num_bytes]
    if missing:
        raise DataSetError(
            f"{dest.uri}/{missing[0]}: expected it as it was written, found {found.get(missing[0], 'no')} bytes; go on "
            f"with `resume=True`"
        )
    kept = {MANIFEST_KEY, *written}
    with suppress(PermissionError):
        if others := [key for key in found if is_own(key) and key not in kept and not is_unfinished(key)]:
            dest.delete_all(others)


def check_claim(dest: Store, document: PlanDocument) -> None:
    """Raise ClaimLostError where another run has replaced the claim, and with it perhaps some shards."""
    claimed = load_plan(dest)
    if claimed is None or claimed.plan_id != document.plan_id:
        raise ClaimLostError(dest.uri)


def clear_scaffolding(dest: Store, document: PlanDocument, progress: Progress) -> None:
    """Remove what only an unfinished run needs, and what runs left that were killed before they could claim.

    The data set is whole without this, so what cannot be removed is noted and no error.
    """
    try:
        _clear_scaffolding(dest, document)
    except ClaimLostError as error:
        progress.note(f"the data set was whole when {error}")
    except OSError as error:
        problem = str(error) if isinstance(error, StoreError) else f"{error.filename or dest.uri}: {error.strerror}"
        progress.note(
            f"the data set is whole, but {RECEIPTS_PREFIX} was not removed: {problem}; remove it by hand, or leave it"
        )


def _clear_scaffolding(dest: Store, document: PlanDocument) -> None:
    # Those of an earlier plan too: a run that overwrites it may be killed between its claim and its clearing.
    receipts = (info.key for info in dest.list(RECEIPTS_PREFIX))
    own = plan_parts_prefix(document.plan_id)
    left = (info.key for info in dest.list(PLAN_PARTS_PREFIX) if not info.key.startswith(own))
    dest.delete_all([*receipts, *left])
    dest.end_others(document.plan_id[:16])
    dest.end_claim()


def _receipts(dest: Store, document: PlanDocument, split: PlannedSplit) -> Iterator[Receipt]:
    stems = [shard_stem(split.name, shard_index, split.num_shards) for shard_index in range(split.num_shards)]
    receipts = read_in_order(dest, stems, lambda stem: load_receipt(dest, stem, plan_id=document.plan_id))
    for shard_index, (stem, receipt) in enumerate(zip(stems, receipts, strict=True)):
        if receipt is None:
            raise DataSetError(
                f"{dest.uri}: shard {stem} has no receipt, so it is not packed; go on with `resume=True`"
            )
        found = receipt.shard.num_records - receipt.shard.num_fills + len(receipt.rejects)
        expected = split.num_items_of(shard_index)
        if found != expected or (split.is_training and receipt.shard.num_records != split.records_per_shard):
            raise DataSetError(
                f"{dest.uri}: receipt of {stem}: expected {expected} items and, when training, "
                f"{split.records_per_shard} records, found {found} and {receipt.shard.num_records}"
            )
        yield receipt


def labels_file(header: PlanHeader) -> bytes:
    """Return the content of `meta/labels.json`."""
    names = {str(index): name for index, name in enumerate(header.class_names)}
    document = LabelsDocument(kind=header.label_kind, num_classes=header.num_classes, names=names)
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _manifest(document: PlanDocument, receipts: dict[str, list[Receipt]], *, num_duplicates: int) -> Manifest:
    header = document.header
    pixels = PixelSums()
    reasons: Counter[str] = Counter()
    for receipt in (receipt for packed in receipts.values() for receipt in packed):
        pixels = pixels + receipt.pixels
        reasons.update(reject.reason for reject in receipt.rejects)
    return Manifest(
        plan_id=document.plan_id,
        world=header.world,
        format=header.format,
        seed=header.seed,
        target_bytes=header.target_bytes,
        stratify=header.stratify,
        image=header.image,
        encoder_sha256=header.encoder_sha256,
        label_kind=header.label_kind,
        num_classes=header.num_classes,
        splits={name: _split_entry(packed) for name, packed in receipts.items()},
        pixels=pixel_statistics(pixels),
        rejects=dict(sorted(reasons.items())),
        num_duplicates=num_duplicates,
        fields=header.fields,
    )


def _split_entry(receipts: list[Receipt]) -> SplitEntry:
    labels: Counter[str] = Counter()
    for receipt in receipts:
        labels.update(receipt.label_counts)
    return SplitEntry(
        num_records=sum(receipt.shard.num_records for receipt in receipts),
        num_fills=sum(receipt.shard.num_fills for receipt in receipts),
        shards=tuple(receipt.shard for receipt in receipts),
        label_counts={label: labels[label] for label in sorted(labels, key=int)},
    )
