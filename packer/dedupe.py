"""Exact copies are found before planning, and one of each set stays. Chance never settles labels that disagree."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.copies import CopiedItem, build_copies, has_several, label_texts
from packer.errors import SourceError
from packer.options import PackOptions
from packer.packing.hashing import ITEMS_PER_HASH_TASK, HashContext, hash_items
from packer.packing.sample import RowNames, item_rows
from packer.planning.plan import Plan, extra_names
from packer.run import Run
from packer.shown_text import counted
from packer.sources.items import Listing
from packer.specs import OnConflict
from packer.stores.open_store import share_options

_ROWS_PER_HASH_RUN = 1 << 16
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduped:
    """Items without copies."""

    items: pa.Table
    copied: tuple[CopiedItem, ...]
    """All items of which there are copies. The kept ones have an empty text as their split, which is not known yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Digests:
    """Of the items, in their order."""

    sha256: npt.NDArray[np.uint8]
    """Of shape (n, 32)."""
    is_known: npt.NDArray[np.bool_]
    """Of shape (n,); False for an item that has no bytes."""


def drop_copies(ordered: pa.Table, listing: Listing, run: Run[PackOptions]) -> Deduped:
    """Keep one of each set of items, in hash order, whose bytes are the same; items that cannot be read stay.

    Of copies that have the same label, that is the first in hash order. Where labels differ, `on_conflict` decides.

    Raises SourceError where labels differ and that is to fail, or where no item would be left.
    """
    digests = _hash_all(ordered, listing, run)
    sets = _copied_rows(digests)
    rows = [row for copies in sets for row in copies]
    picked = ordered.take(pa.array(rows, pa.int64()))
    keys = dict(zip(rows, picked.column("key").to_pylist(), strict=True))
    labels = dict(zip(rows, label_texts(picked).to_pylist(), strict=True))
    conflicts = [copies for copies in sets if has_several([labels[row] for row in copies])]
    if conflicts and run.options.on_conflict is OnConflict.FAIL:
        raise SourceError(_conflict_text(conflicts, keys, labels))
    in_conflict = {copies[0] for copies in conflicts}
    kept = np.ones(ordered.num_rows, dtype=bool)
    kept[rows] = False
    for copies in sets:
        if copies[0] not in in_conflict:
            kept[copies[0]] = True
        elif run.options.on_conflict is OnConflict.FIRST:
            kept[min(copies, key=lambda row: keys[row].encode())] = True
    if not kept.any():
        raise SourceError(f"{run.options.source}: no item is left, since all are copies whose labels differ")
    _tell(run, num_left_out=int((~kept).sum()), num_conflicts=len(conflicts))
    copied = tuple(
        CopiedItem(
            source_sha256=digests.sha256[row].tobytes(),
            key=keys[row],
            label=labels[row],
            split="" if kept[row] else None,
        )
        for row in rows
    )
    return Deduped(items=ordered.filter(pa.array(kept)), copied=copied)


def planned_copies(copied: Sequence[CopiedItem], plan: Plan) -> pa.Table:
    """Return the table of the sets of copies, with the splits that the kept ones were planned for."""
    kept = pa.array([item.key for item in copied if item.split is not None], pa.large_string())
    split_of = {}
    for split, table in zip(plan.header.splits, plan.tables, strict=True):
        keys = table.column("key")
        split_of.update(dict.fromkeys(keys.filter(pc.is_in(keys, value_set=kept)).to_pylist(), split.name))
    placed = [msgspec.structs.replace(item, split=split_of.get(item.key)) for item in copied]
    return build_copies(placed)


def _hash_all(ordered: pa.Table, listing: Listing, run: Run[PackOptions]) -> _Digests:
    sha256 = np.zeros((ordered.num_rows, 32), dtype=np.uint8)
    is_known = np.zeros(ordered.num_rows, dtype=bool)
    columns = [name for name in ordered.column_names if name not in extra_names(ordered)]
    reach = share_options(listing.place, run.options.source_store())
    with run.progress.phase("comparing", total=ordered.num_rows):
        for start in range(0, ordered.num_rows, _ROWS_PER_HASH_RUN):
            batch = ordered.slice(start, _ROWS_PER_HASH_RUN).select(columns)
            rows = item_rows(batch.to_pydict(), RowNames(()))
            context = HashContext(source_root=listing.place, source_store=reach, items=tuple(rows))
            tasks = range(-(-len(rows) // ITEMS_PER_HASH_TASK))
            results = dict(run.engine.run(hash_items, context, tasks, run.progress.advance))
            for row, digest in enumerate((digest for task in tasks for digest in results[task]), start):
                if digest is not None:
                    is_known[row] = True
                    sha256[row] = np.frombuffer(digest, np.uint8)
    return _Digests(sha256=sha256, is_known=is_known)


def _copied_rows(digests: _Digests) -> list[list[int]]:
    """Return the rows of each set of more than one, ascending; sets by their first rows."""
    rows = np.flatnonzero(digests.is_known)
    words = digests.sha256[rows].view(np.uint64)
    order = np.lexsort((words[:, 1], words[:, 0]))
    starts = np.ones(len(rows), dtype=bool)
    starts[1:] = (words[order[1:], :2] != words[order[:-1], :2]).any(axis=1)
    bounds = np.append(np.flatnonzero(starts), len(rows))
    sets = [rows[order[start:stop]].tolist() for start, stop in itertools.pairwise(bounds) if stop - start > 1]
    return sorted(sets)


def _conflict_text(conflicts: list[list[int]], keys: dict[int, str], labels: dict[int, str | None]) -> str:
    named = [" and ".join(f"{keys[row]} (label {labels[row]})" for row in copies[:2]) for copies in conflicts]
    return (
        f"`on_conflict`: {counted(len(conflicts), 'set')} of exact copies with different labels, such as "
        f"{'; '.join(named[:_MAX_NAMED])}; mend the labels, or choose `on_conflict=drop`, which packs none of them, or "
        f"first, which packs the one with the first key"
    )


def _tell(run: Run[PackOptions], *, num_left_out: int, num_conflicts: int) -> None:
    note = run.progress.note
    note(
        f"left out {counted(num_left_out, 'exact copy', 'exact copies')} of other items"
        if num_left_out
        else "found no exact copies"
    )
    if num_conflicts:
        note(
            f"{counted(num_conflicts, 'set')} of exact copies with different labels: of each, "
            f"{'none' if run.options.on_conflict is OnConflict.DROP else 'the one with the first key'} is packed"
        )
