"""Batches made by threads of this process.

    free slots -> dispatcher: the next batch's records -> pieces -> threads: read, decode into the slot -> batches

A thread takes a piece of a batch at a time. So few slots keep many threads busy, and the first batch is ready sooner.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from packer.loading.batch_feed import MadeBatch
from packer.loading.batch_plan import BatchPlan
from packer.loading.loader_spec import BatchPlace
from packer.loading.sample_maker import MakerSetup, Ref, SampleMaker, SampleNotes
from packer.loading.slot_ring import Slot, SlotRing

PIECE_SAMPLES = 16
SHARDS_AHEAD = 1024
"""Most shards that are announced."""
_CLOSE_WAIT_S = 2.0
"""Seconds to wait for each thread; one that waits for a stream or a store ends later by itself."""


@dataclass(slots=True)
class _Job:
    """A batch that is being made."""

    place: BatchPlace
    slot: int
    num_samples: int
    notes: list[SampleNotes | None] = field(default_factory=list)
    """Notes of each piece; None until it is finished."""
    missing: int = 0
    error: BaseException | None = None
    is_done: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def finish(self, piece: int, notes: SampleNotes | None, error: BaseException | None) -> None:
        with self.lock:
            self.notes[piece] = notes
            self.error = self.error or error
            self.missing -= 1
            if not self.missing:
                self.is_done.set()


@dataclass(frozen=True, slots=True)
class _Piece:
    job: _Job
    number: int
    first: int
    refs: Sequence[Ref]


class ThreadFeed:
    """A BatchFeed whose batches are made by threads of this process."""

    def __init__(
        self, setup: MakerSetup, plan: BatchPlan, places: Iterator[BatchPlace], ring: SlotRing, num_threads: int
    ) -> None:
        """Start the threads, which start to make batches."""
        self.ring = ring
        self._setup, self._plan, self._places = setup, plan, places
        self._free: SimpleQueue[int | None] = SimpleQueue()
        self._pieces: SimpleQueue[_Piece | None] = SimpleQueue()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._head: _Job | None = None
        self._announced: list[int] = []
        self._is_closing = False
        self._has_ended = False
        for slot in range(ring.num_slots):
            self._free.put(slot)
        self._num_workers = num_threads
        self._threads = [_start(self._dispatch, "loader-order")]
        self._threads += [_start(self._work, f"loader-{number}") for number in range(num_threads)]

    def has_batch(self) -> bool:
        if self._head is None and not self._has_ended:
            try:
                self._head = self._jobs.get_nowait()
            except Empty:
                return False
            self._has_ended = self._head is None
        return self._head is None or self._head.is_done.is_set()

    def take(self) -> MadeBatch | None:
        if self._has_ended:
            return None
        job = self._head or self._jobs.get()
        self._head = None
        if job is None:
            self._has_ended = True
            return None
        job.is_done.wait()
        if job.error is not None:
            self._has_ended = True
            self.close()
            raise job.error
        notes = [piece for piece in job.notes if piece is not None]
        return describe_batch(job.slot, job.place, job.num_samples, notes)

    def give_back(self, slot: int) -> None:
        self._free.put(slot)  # a SimpleQueue is safe to use in destructors

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._free.put(None)
        for _ in range(self._num_workers):
            self._pieces.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_CLOSE_WAIT_S)
        self._setup.access.close()
        self._jobs.put(None)

    def _dispatch(self) -> None:
        for place in self._places:
            slot = self._free.get()
            if slot is None or self._is_closing:
                return
            try:
                self._announce(place)
                self._hand_out(place, slot, self._plan.refs(place))
            except BaseException as error:
                job = _Job(place, slot, 0, error=error)
                job.is_done.set()
                self._jobs.put(job)
                return
        self._jobs.put(None)

    def _announce(self, place: BatchPlace) -> None:
        ahead = self._plan.shards_ahead(place, SHARDS_AHEAD)
        if ahead != self._announced:
            self._announced = ahead
            self._setup.access.expect(ahead)

    def _hand_out(self, place: BatchPlace, slot: int, refs: Sequence[Ref]) -> None:
        starts = range(0, len(refs), PIECE_SAMPLES)
        job = _Job(place, slot, len(refs), notes=[None] * len(starts), missing=len(starts))
        blank_rest(self.ring.slots[slot], len(refs))
        self._jobs.put(job)
        if not starts:
            job.is_done.set()
        for number, first in enumerate(starts):
            self._pieces.put(_Piece(job, number, first, refs[first : first + PIECE_SAMPLES]))

    def _work(self) -> None:
        maker: SampleMaker | None = None
        while (piece := self._pieces.get()) is not None:
            if self._is_closing:
                return
            try:
                maker = maker or SampleMaker(self._setup)
                slot = self.ring.slots[piece.job.slot]
                notes = maker.fill(slot, piece.first, piece.refs, piece.job.place.epoch)
            except BaseException as error:
                piece.job.finish(piece.number, None, error)
            else:
                piece.job.finish(piece.number, notes, None)


def blank_rest(slot: Slot, num_samples: int) -> None:
    """Set the samples of a slot from number `num_samples` on to black images of label 0 and weight 0."""
    slot.images[num_samples:] = 0
    slot.labels[num_samples:] = 0
    slot.weights[num_samples:] = 0
    for masks in slot.masks:
        masks[num_samples:] = 0
    for pictures in slot.pictures:
        pictures[num_samples:] = 0


def describe_batch(slot: int, place: BatchPlace, num_samples: int, notes: Sequence[SampleNotes]) -> MadeBatch:
    """Return the batch in a slot, given the notes of its pieces in order."""
    names = notes[0].columns if notes else ()
    return MadeBatch(
        slot=slot,
        place=place,
        num_samples=num_samples,
        keys=[key for piece in notes for key in piece.keys],
        columns={name: [value for piece in notes for value in piece.columns[name]] for name in names},
        fields={
            name: [value for piece in notes for value in piece.fields[name]]
            for name in (notes[0].fields if notes else ())
        },
        vectors=[vector for piece in notes for vector in piece.vectors],
        store_s=sum(piece.store_s for piece in notes),
        decode_s=sum(piece.decode_s for piece in notes),
    )


def _start(target: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
