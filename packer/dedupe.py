"""Exact copies are found before planning, and one of each set stays. Chance never settles labels that disagree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
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
from packer.planning.reordered import Reordered
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

    items: Reordered
    copied: tuple[CopiedItem, ...]
    """All items of which there are copies. The kept ones have an empty text as their split, which is not known yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Digests:
    """The digests of the items, in the order of the items."""

    sha256: npt.NDArray[np.uint8]
    """Of shape (n, 32)."""
    is_known: npt.NDArray[np.bool_]
    """Of shape (n,); False for an item that has no bytes."""


def drop_copies(ordered: Reordered, listing: Listing, run: Run[PackOptions]) -> Deduped:
    """Keep one of each set of items, in hash order, whose bytes are the same; items that cannot be read stay.

    Of copies that have the same label, that is the first in hash order. Where labels differ, `on_conflict` decides.

    Raises SourceError where labels differ and that is to fail, or where no item would be left.
    """
    digests = _hash_all(ordered, listing, run)
    known = np.flatnonzero(digests.is_known)
    sets = [known[rows].tolist() for rows in copy_sets(digests.sha256[known])]
    rows = [row for copies in sets for row in copies]
    picked = ordered.pick(np.array(rows, dtype=np.int64)).slice()
    keys = dict(zip(rows, picked.column("key").to_pylist(), strict=True))
    labels = dict(zip(rows, label_texts(picked).to_pylist(), strict=True))
    conflicts = [copies for copies in sets if has_several([labels[row] for row in copies])]
    if conflicts and run.options.on_conflict is OnConflict.FAIL:
        named = [" and ".join(f"{keys[row]} (label {labels[row]})" for row in copies[:2]) for copies in conflicts]
        raise conflict_error(len(conflicts), named)
    kept = np.ones(ordered.num_rows, dtype=bool)
    kept[rows] = False
    kept[list(kept_of_sets(sets, keys, labels, run.options.on_conflict))] = True
    if not kept.any():
        raise none_left(run)
    tell_copies(run, num_left_out=int((~kept).sum()), num_conflicts=len(conflicts))
    copied = tuple(
        CopiedItem(
            source_sha256=digests.sha256[row].tobytes(),
            key=keys[row],
            label=labels[row],
            split="" if kept[row] else None,
        )
        for row in rows
    )
    return Deduped(items=ordered.pick(np.flatnonzero(kept)), copied=copied)


def planned_copies(copied: Sequence[CopiedItem], plan: Plan) -> pa.Table:
    """Return the table of the sets of copies, with the splits that the kept ones were planned for."""
    kept = pa.array([item.key for item in copied if item.split is not None], pa.large_string())
    split_of = {}
    for split, table in zip(plan.header.splits, plan.tables, strict=True):
        keys = table.column("key")
        split_of.update(dict.fromkeys(keys.filter(pc.is_in(keys, value_set=kept)).to_pylist(), split.name))
    placed = [msgspec.structs.replace(item, split=split_of.get(item.key)) for item in copied]
    return build_copies(placed)


def _hash_all(ordered: Reordered, listing: Listing, run: Run[PackOptions]) -> _Digests:
    sha256 = np.zeros((ordered.num_rows, 32), dtype=np.uint8)
    is_known = np.zeros(ordered.num_rows, dtype=bool)
    columns = [name for name in ordered.column_names if name not in extra_names(ordered)]
    source_store = share_options(listing.place, run.options.source_store())
    with run.progress.phase("comparing", total=ordered.num_rows):
        for start in range(0, ordered.num_rows, _ROWS_PER_HASH_RUN):
            batch = ordered.slice(start, _ROWS_PER_HASH_RUN).select(columns)
            rows = item_rows(batch.to_pydict(), RowNames(()))
            context = HashContext(source_root=listing.place, source_store=source_store, items=tuple(rows))
            tasks = range(-(-len(rows) // ITEMS_PER_HASH_TASK))
            results = dict(run.engine.run(hash_items, context, tasks, run.progress.advance))
            for row, digest in enumerate((digest for task in tasks for digest in results[task]), start):
                if digest is not None:
                    is_known[row] = True
                    sha256[row] = np.frombuffer(digest, np.uint8)
    return _Digests(sha256=sha256, is_known=is_known)


def copy_sets(sha256: npt.NDArray[np.uint8]) -> list[list[int]]:
    """Return the rows of each set of more than one digest, of shape (n, 32), ascending; sets by their first rows."""
    numbers = np.ascontiguousarray(sha256).view(np.uint64)
    order = np.lexsort((numbers[:, 1], numbers[:, 0]))
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (numbers[order[1:], :2] != numbers[order[:-1], :2]).any(axis=1)
    bounds = np.append(np.flatnonzero(starts), len(order))
    sets = [order[start:stop].tolist() for start, stop in itertools.pairwise(bounds) if stop - start > 1]
    return sorted(sets)


def kept_of_sets(
    sets: Sequence[Sequence[int]], keys: Mapping[int, str], labels: Mapping[int, str | None], on_conflict: OnConflict
) -> set[int]:
    """Return the row that stays of each set of rows, if one does."""
    kept = set()
    for copies in sets:
        if not has_several([labels[row] for row in copies]):
            kept.add(copies[0])
        elif on_conflict is OnConflict.FIRST:
            kept.add(min(copies, key=lambda row: keys[row].encode()))
    return kept


def conflict_error(num_conflicts: int, named: Sequence[str]) -> SourceError:
    """Return the error for sets whose labels differ; `named` are texts of the first."""
    return SourceError(
        f"`on_conflict`: {counted(num_conflicts, 'set')} of exact copies with different labels, such as "
        f"{'; '.join(named[:_MAX_NAMED])}; mend the labels, or choose `on_conflict=drop`, which packs none of them, or "
        f"first, which packs the one with the first key"
    )


def none_left(run: Run[PackOptions]) -> SourceError:
    """Return the error for a source of nothing but copies whose labels differ."""
    return SourceError(f"{run.options.source}: no item is left, since all are copies whose labels differ")


def tell_copies(run: Run[PackOptions], *, num_left_out: int, num_conflicts: int) -> None:
    """Note what was left out."""
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
