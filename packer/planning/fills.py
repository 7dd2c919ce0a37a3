"""Which samples are repeated so that a training shard has its full number of records."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from packer.errors import DataSetError


def choose_fills(good: Sequence[int | None], missing: Sequence[int | None], *, by_class: bool) -> list[int]:
    """Return, for each missing record, the index in `good` of the sample that stands in for it.

    Args:
        good: class of each good sample of the shard, in hash order (None without classes).
        missing: class of each missing record: the rejected items' in hash order, then None for each planned fill.
        by_class: prefer a sample of the missing record's own class, where there is one (stratified shards).

    Samples are taken in turn from the first on, over all of the shard or, `by_class`, over each class.

    Raises:
        DataSetError: records are missing and there is no good sample.
    """
    if missing and not good:
        raise DataSetError("none of the shard's items could be packed, so nothing can stand in for them")
    turns: dict[int | None, cycle[int]] = {None: cycle(range(len(good)))}
    if by_class:
        members: dict[int | None, list[int]] = {}
        for index, label in enumerate(good):
            members.setdefault(label, []).append(index)
        turns |= {label: cycle(indices) for label, indices in members.items() if label is not None}
    return [next(turns.get(label, turns[None])) for label in missing]
