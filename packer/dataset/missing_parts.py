"""Which parts of a run that was shared among machines have yet to be packed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from packer.dataset.planfile import PlanDocument
from packer.errors import DataSetError
from packer.planning.layout import RECEIPTS_PREFIX, old_receipt_key, receipt_key, shard_stem
from packer.shown_text import counted
from packer.stores.store import Store

_MAX_NAMED = 3


@contextmanager
def naming_missing_parts(dest: Store, document: PlanDocument) -> Iterator[None]:
    """Where a commit fails since shards of its plan are not packed, raise DataSetError that names parts that pack them.

    They are looked for only then: a commit whose shards are all there need not list their receipts.
    """
    try:
        yield
    except DataSetError:
        _check_parts(dest, document)
        raise


def _check_parts(dest: Store, document: PlanDocument) -> None:
    found = {info.key for info in dest.list(RECEIPTS_PREFIX)}
    num_tasks = document.header.num_tasks
    stems = [_stem(document, task) for task in range(num_tasks)]
    missing = [
        task
        for task, stem in enumerate(stems)
        if receipt_key(document.plan_id, stem) not in found and old_receipt_key(stem) not in found
    ]
    if not missing:
        return
    parts = [f"`part={part}`" for part in find_parts(missing, num_tasks)]
    more = f" and {len(parts) - _MAX_NAMED:,} more" * (len(parts) > _MAX_NAMED)
    are = "is" if len(missing) == 1 else "are"
    raise DataSetError(
        f"{dest.uri}: {len(missing):,} of {counted(num_tasks, 'shard')} {are} not packed, the first is "
        f"{stems[missing[0]]}; pack again with the same options and {', '.join(parts[:_MAX_NAMED])}{more}, then commit"
    )


def find_parts(missing: list[int], num_tasks: int) -> list[str]:
    """Return the fewest parts, all of one number, that pack these tasks and no others: ``1/4`` for 1 and 5 of 8."""
    wanted = set(missing)
    for num_parts in range(1, num_tasks + 1):
        parts = sorted({task % num_parts for task in wanted})
        if sum(len(range(part, num_tasks, num_parts)) for part in parts) == len(wanted):
            return [f"{part}/{num_parts}" for part in parts]
    raise AssertionError("each task is a part of its own")


def _stem(document: PlanDocument, task: int) -> str:
    split, shard_index = document.header.locate(task)
    return shard_stem(split.name, shard_index, split.num_shards)
