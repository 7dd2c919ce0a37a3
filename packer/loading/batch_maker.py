"""Makes batches of a split in any order, with threads that several makers may share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from packer.loading.batch_feed import MadeBatch
from packer.loading.loader_setup import LoaderSetup, open_maker
from packer.loading.loader_spec import BatchPlace
from packer.loading.sample_maker import Ref, SampleMaker, SampleNotes
from packer.loading.slot_ring import Slot
from packer.loading.thread_feed import PIECE_SAMPLES, SHARDS_AHEAD, blank_rest, describe_batch

_STEPS_OUT_OF_ORDER = 64
"""Requests close in time arrive in any order; shards ahead are counted from the latest batch of this many steps."""


class BatchMaker:
    """Makes the batches of one rank. Safe to call from any thread."""

    def __init__(self, setup: LoaderSetup, threads: ThreadPoolExecutor) -> None:
        """Open a split. It must not be a stream: each batch must be a function of its place."""
        self._plan, self._maker, self._threads = setup.plan, open_maker(setup), threads
        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._announced: list[int] = []
        self._last = BatchPlace(0, 0, 0)

    def make(self, place: BatchPlace, slot: Slot) -> MadeBatch:
        """Fill a slot and return its batch, with slot number 0. Nothing else may use the slot meanwhile.

        Raises as `SampleMaker.fill`.
        """
        refs = self._plan.refs(place)
        self._announce(place)
        blank_rest(slot, len(refs))
        starts = range(0, len(refs), PIECE_SAMPLES)
        pieces = [
            self._threads.submit(self._fill, slot, start, refs[start : start + PIECE_SAMPLES], place.epoch)
            for start in starts
        ]
        wait(pieces)  # even if one fails, since the others still write to the slot
        return describe_batch(0, place, len(refs), [piece.result() for piece in pieces])

    def close(self) -> None:
        """Close files and caches. The threads go on, since they belong to the caller."""
        self._maker.access.close()

    def _announce(self, place: BatchPlace) -> None:
        with self._lock:
            last = self._last
            if last.epoch == place.epoch and last.step - _STEPS_OUT_OF_ORDER < place.step < last.step:
                return
            self._last = place
            ahead = self._plan.shards_ahead(place, SHARDS_AHEAD)
            if ahead != self._announced:
                self._announced = ahead
                self._maker.access.expect(ahead)

    def _fill(self, slot: Slot, first: int, refs: Sequence[Ref], epoch: int) -> SampleNotes:
        maker: SampleMaker | None = getattr(self._of_thread, "maker", None)
        if maker is None:
            maker = self._of_thread.maker = SampleMaker(self._maker)
        return maker.fill(slot, first, refs, epoch)
