"""Measuring the first items in hash order before planning: really decoded and encoded, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from packer.dataset.reject_limit import check_probed
from packer.errors import PackerError, SourceError
from packer.options import PackOptions
from packer.packing.probe import ITEMS_PER_TASK, ProbeContext, ProbedItem, probe_items
from packer.packing.sample import RowNames, item_rows
from packer.planning.balance import KnownSizes
from packer.planning.plan import extra_names
from packer.planning.reordered import Reordered
from packer.planning.shard_count import num_probes
from packer.run import Run
from packer.specs import MAX_SHARD_BYTES, FieldSpec, OnReject
from packer.stores.open_store import share_options


class Ordered(Protocol):
    """Items in hash order, of which only the first are looked at; a table is one."""

    @property
    def num_rows(self) -> int:
        """All of them."""

    def slice(self, offset: int, length: int) -> pa.Table:
        """Return some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Where items are read, and what their classes are called."""

    place: str
    class_names: tuple[str, ...]
    fields: tuple[FieldSpec, ...] = ()


def measure(ordered: Ordered, source: Measured, run: Run[PackOptions]) -> list[int]:
    """Decode and encode the first items in hash order until enough have become records; return their framed sizes.

    Where every image is stored as it is, return instead what framing adds to the listed size.

    Raises:
        SourceError: none could be packed.
        PackerError: more are rejects than may be.
    """
    keeps_all = run.options.image_spec().keeps_all
    sizes: list[int] = []
    problems: list[str] = []
    wanted, start = num_probes(ordered.num_rows), 0
    with run.progress.phase("measuring", total=wanted):
        while len(sizes) < wanted and start < ordered.num_rows:
            batch = ordered.slice(start, wanted - len(sizes))
            start += batch.num_rows
            listed = batch["num_bytes"].to_pylist()
            for item, num_bytes in zip(_probe(batch, source, run), listed, strict=True):
                if item.num_bytes is None:
                    problems.append(item.problem)
                else:
                    sizes.append(item.num_bytes - num_bytes if keeps_all else item.num_bytes)
            if problems:
                check_problems(problems, run.options, num_items=ordered.num_rows, is_all=not sizes)
    return sizes


def check_problems(problems: list[str], options: PackOptions, *, num_items: int, is_all: bool) -> None:
    """Raise a PackerError where packing could only fail, before anything is packed.

    Args:
        problems: of the items that were measured and could not be packed.
        is_all: whether these are all that were measured.
    """
    if (is_all and len(problems) > options.max_rejects * num_items) or len(problems) == num_items:
        raise SourceError(f"{options.source}: none of the first {len(problems)} items could be packed; {problems[0]}")
    if options.on_reject is OnReject.FAIL:
        raise PackerError(f"{problems[0]} (`on_reject=fail`)")
    check_probed(problems, num_items, options.max_rejects)


def kept_sizes(ordered: Reordered, *, added_bytes: int) -> KnownSizes:
    """Return the sizes of records of the listed sizes and what framing adds.

    Raises:
        SourceError: an item is larger than a shard.
    """
    framed = ordered.column("num_bytes").to_numpy() + added_bytes
    largest = int(np.argmax(framed))
    key = ordered.slice(largest, 1).column("key")[0].as_py()
    check_largest(key, int(framed[largest]) - added_bytes, added_bytes=added_bytes)
    return KnownSizes(framed)


def check_largest(key: str, num_bytes: int, *, added_bytes: int) -> None:
    """Raise SourceError where the largest item does not fit a shard."""
    if num_bytes + added_bytes > MAX_SHARD_BYTES:
        raise SourceError(
            f"{key}: expected items that fit a shard of {MAX_SHARD_BYTES // 10**6} MB, got {num_bytes:,} bytes; leave "
            f"it out, or shrink all with `resize`"
        )


def _probe(batch: pa.Table, source: Measured, run: Run[PackOptions]) -> Iterator[ProbedItem]:
    rows = item_rows(batch.to_pydict(), RowNames(extra_names(batch), source.class_names, source.fields))
    context = ProbeContext(
        source_root=source.place,
        source_store=share_options(source.place, run.options.source_store()),
        format=run.options.format,
        image=run.options.image_spec(),
        item_limit_s=run.options.item_timeout,
        items=tuple(rows),
    )
    tasks = range(-(-len(rows) // ITEMS_PER_TASK))
    results = dict(run.engine.run(probe_items, context, tasks, run.progress.advance))
    for task in tasks:
        yield from results[task]
