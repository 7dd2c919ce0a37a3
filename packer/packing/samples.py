"""Items' bytes to samples, in their order, with a limit to the time that each may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from packer.formats.container import Sample
from packer.imaging.library_messages import without_warnings
from packer.imaging.rejects import RejectError, RejectReason
from packer.packing.sample import ItemFiles, ItemRow, build_sample
from packer.packing.watchdog import Turn, run_in_turns
from packer.specs import ImageSpec


@dataclass(frozen=True, slots=True)
class BuiltSample:
    """What became of an item."""

    sample: Sample
    histogram: tuple[int, ...]
    """Channels x 256 counts of its pixels."""


Take: TypeAlias = Callable[[int, BuiltSample | RejectError], None]
"""Is given each item's index and what became of it, one after the other."""


def build_samples(
    items: Sequence[ItemRow],
    fetched: Iterator[bytes | ItemFiles | RejectError],
    spec: ImageSpec,
    *,
    limit_s: float,
    take: Take,
) -> None:
    """Make a sample of each item's files and hand it to `take`; an item that takes longer than `limit_s` is a reject.

    Raises as `fetch_files`, `build_sample` and `take`.
    """
    # Not zip inside enumerate: that keeps the previous file alive while the next image is decoded.
    numbered = enumerate(fetched)

    def work(turn: Turn) -> None:
        for index, data in numbered:
            turn.begin(index)
            outcome = data if isinstance(data, RejectError) else _build(items[index], data, spec)
            if not turn.end():
                return
            take(index, outcome)

    def on_slow(index: int) -> None:
        problem = f"expected at most {limit_s:g} s of decoding, got more"
        take(index, RejectError(RejectReason.TOO_SLOW, problem))

    with without_warnings:
        run_in_turns(work, on_slow=on_slow, limit_s=limit_s)


def _build(item: ItemRow, data: bytes | ItemFiles, spec: ImageSpec) -> BuiltSample | RejectError:
    try:
        return BuiltSample(*build_sample(item, data, spec))
    except RejectError as error:
        return error.with_traceback(None)  # its frames hold the file and its pixels
