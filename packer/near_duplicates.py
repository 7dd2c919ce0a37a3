"""Pictures that look alike are found before planning, so that each group of them stays in one split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from packer.dataset.copies import label_texts
from packer.dataset.near_list import NEAR_SCHEMA
from packer.options import PackOptions
from packer.packing.hashing import ITEMS_PER_HASH_TASK
from packer.packing.looks import LookContext, look_at_items
from packer.packing.sample import RowNames, item_rows
from packer.planning.near_pairs import link, near_pairs
from packer.planning.plan import Plan, encode_groups, extra_names
from packer.planning.reordered import Reordered
from packer.planning.splits import IntArray
from packer.run import Run
from packer.sources.items import Listing
from packer.stores.open_store import share_options

_ROWS_PER_RUN = 1 << 16
_NONE = 65
"""A distance that no two hashes have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookalikes:
    """What was found among items in hash order."""

    items: pa.Table
    """Those that look like another one: ``key``, ``label`` as text, ``group`` (any number) and ``distance``."""
    split_groups: IntArray
    """Of each item, the group that goes to one split: of its lookalikes, and of the column that names groups."""


def find_lookalikes(ordered: Reordered, listing: Listing, run: Run[PackOptions]) -> Lookalikes:
    """Look at all items and group those that look alike. Raises as `look_at_items` and `encode_groups`."""
    hashes, is_known = _look_at_all(ordered, listing, run)
    known = np.flatnonzero(is_known)
    distinct, firsts, inverse, counts = np.unique(
        hashes[known], return_index=True, return_inverse=True, return_counts=True
    )
    pairs, bits = near_pairs(distinct)
    same = np.stack([known[firsts[inverse]], known], axis=1)
    links = np.concatenate([known[firsts][pairs], same[same[:, 0] != same[:, 1]]])
    groups = link(ordered.num_rows, links)
    nearest = np.where(counts > 1, 0, _NONE)
    for end in (0, 1):
        np.minimum.at(nearest, pairs[:, end], bits)
    distance = np.full(ordered.num_rows, _NONE)
    distance[known] = nearest[inverse]
    rows = np.flatnonzero(distance < _NONE)
    column = run.options.group_column
    own = None if column is None else np.asarray(encode_groups(ordered, column).indices.to_numpy(zero_copy_only=False))
    picked = ordered.pick(rows).slice()
    items = pa.table({
        "key": picked.column("key"), "label": label_texts(picked),
        "group": pa.array(groups[rows], pa.int64()), "distance": pa.array(distance[rows], pa.int64()),
    })  # fmt: skip
    return Lookalikes(items=items, split_groups=groups if own is None else link(ordered.num_rows, links, own))


def list_lookalikes(found: Lookalikes, plan: Plan) -> pa.Table:
    """Return the list of a plan's near-duplicates, with the splits that they were planned for."""
    keys: list[str] = found.items.column("key").to_pylist()
    wanted = set(keys)
    split_of = {
        key: split.name
        for split, table in zip(plan.header.splits, plan.tables, strict=True)
        for key in table.column("key").to_pylist()
        if key in wanted
    }
    groups = found.items.column("group").to_pylist()
    first_key: dict[int, str] = {}
    for key, group in zip(keys, groups, strict=True):
        first_key[group] = min(first_key.get(group, key), key)
    numbers = {group: number for number, group in enumerate(sorted(first_key, key=lambda group: first_key[group]))}
    listed = [row | {"group": numbers[row["group"]], "split": split_of[row["key"]]} for row in found.items.to_pylist()]
    listed.sort(key=lambda row: (row["group"], row["key"]))
    return pa.Table.from_pylist(listed, schema=NEAR_SCHEMA)


def _look_at_all(
    ordered: Reordered, listing: Listing, run: Run[PackOptions]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Return the hashes of items, and which of them have one."""
    hashes = np.zeros(ordered.num_rows, dtype=np.uint64)
    is_known = np.zeros(ordered.num_rows, dtype=bool)
    columns = [name for name in ordered.column_names if name not in extra_names(ordered)]
    reach = share_options(listing.place, run.options.source_store())
    with run.progress.phase("looking", total=ordered.num_rows):
        for start in range(0, ordered.num_rows, _ROWS_PER_RUN):
            rows = item_rows(ordered.slice(start, _ROWS_PER_RUN).select(columns).to_pydict(), RowNames(()))
            context = LookContext(
                source_root=listing.place,
                source_store=reach,
                items=tuple(rows),
                max_pixels=run.options.image_spec().max_pixels,
            )
            tasks = range(-(-len(rows) // ITEMS_PER_HASH_TASK))
            results = dict(run.engine.run(look_at_items, context, tasks, run.progress.advance))
            for row, found in enumerate((found for task in tasks for found in results[task]), start):
                if found is not None:
                    is_known[row] = True
                    hashes[row] = int.from_bytes(found, "little")
    return hashes, is_known
