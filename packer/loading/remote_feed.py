"""Batches that data hosts make: requested ahead from several hosts at a time, and handed out in order.

    free slots -> dispatcher: the next batch's place -> askers: one data host, another if it fails -> batches

A batch is a function of its place, so it does not matter which host answers, or how many were asked.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import msgspec

from packer.errors import DataSetError, PackerError, WorkerError
from packer.loading.batch_feed import MadeBatch
from packer.loading.batch_maker import BatchMaker
from packer.loading.feed_request import FeedRequest
from packer.loading.feed_source import FeedHost, FeedSource, IfLost
from packer.loading.flight_link import FlightLink, HostFailure
from packer.loading.host_choice import HostChoice
from packer.loading.loader_setup import LoaderSetup, Start, num_asked_for
from packer.loading.loader_spec import BatchPlace
from packer.loading.slot_ring import Slot, SlotRing

_LOGGER = logging.getLogger(__name__)
_BEAT_EVERY_S = 5.0
_BEAT_TIMEOUT_S = 2.0
_LOOK_EVERY_S = 0.25
_CHECK_TIMEOUT_S = 60.0
"""Longer than other timeouts: at the first question, a data host opens the data set."""
_ASK_AGAIN_S = 1.0
_LOST_AFTER_S = 60.0
"""With `IfLost.ERROR`, the loader fails if no data host delivers a batch for this many seconds."""
_CLOSE_WAIT_S = 2.0


@dataclass(slots=True)
class _Job:
    """A requested batch."""

    place: BatchPlace
    slot: int
    made: MadeBatch | None = None
    error: BaseException | None = None
    is_done: threading.Event = field(default_factory=threading.Event)


class RemoteFeed:
    """A BatchFeed of data hosts."""

    def __init__(self, setup: LoaderSetup, start: Start, ring: SlotRing) -> None:
        """Start to request batches. Raises OptionsError if token or certificates cannot be read."""
        source = setup.given.feed
        assert source is not None
        self.ring = ring
        self._setup, self._source = setup, source
        self._request = request_of(setup)
        self._places = setup.plan.places(start.epoch, start.position)
        self._links = [FlightLink(host, source) for host in source.hosts]
        self._choice = HostChoice(len(self._links), rank=setup.spec.rank, world=setup.spec.world)
        self._local = _LocalMaker(setup)
        self._free: SimpleQueue[int | None] = SimpleQueue()
        self._wanted: SimpleQueue[_Job | None] = SimpleQueue()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._head: _Job | None = None
        self._has_ended = False
        self._closing = threading.Event()
        for slot in range(ring.num_slots):
            self._free.put(slot)
        self._num_askers = num_asked_for(source, setup.spec)
        self._threads = [_start(self._dispatch, "feed-order")]
        self._threads += [_start(self._ask_for_jobs, f"feed-{number}") for number in range(self._num_askers)]
        for number in range(len(self._links)):
            _start(lambda number=number: self._beat(number), f"feed-beat-{number}")  # type: ignore[misc]

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
        if job is not None:
            job.is_done.wait()
            if job.made is not None:
                return msgspec.structs.replace(job.made, slot=job.slot)
        self._has_ended = True
        self.close()
        if job is not None and job.error is not None:
            raise job.error
        return None

    def give_back(self, slot: int) -> None:
        self._free.put(slot)  # a SimpleQueue is safe to use in destructors

    def close(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        self._free.put(None)
        for _ in range(self._num_askers):
            self._wanted.put(None)
        until_s = time.monotonic() + _CLOSE_WAIT_S  # an open request ends at its deadline
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until_s - time.monotonic()))
        self._local.close()
        self._jobs.put(None)

    def _dispatch(self) -> None:
        for place in self._places:
            slot = self._free.get()
            if slot is None or self._closing.is_set():
                return
            job = _Job(place, slot)
            self._jobs.put(job)
            self._wanted.put(job)
        self._jobs.put(None)

    def _ask_for_jobs(self) -> None:
        while (job := self._wanted.get()) is not None and not self._closing.is_set():
            try:
                job.made = self._make(job)
            except BaseException as error:
                job.error = error
            job.is_done.set()

    def _make(self, job: _Job) -> MadeBatch:
        """Fill a job's slot from the first data host that answers, or make the batch here.

        Raises:
            DataSetError, OptionsError: a data host refuses the request.
            WorkerError: no data host answers, or the loader was closed.
        """
        slot, tried = self.ring.slots[job.slot], dict[int, str]()
        request = msgspec.structs.replace(self._request, place=job.place)
        started_s, attempt = time.monotonic(), 0
        while not self._closing.is_set():
            number = self._choice.begin(job.place.step, tried)
            if number is not None:
                try:
                    return self._fetch(number, request, slot, attempt)
                except HostFailure as failure:
                    tried[number] = str(failure)
                continue
            if self._source.if_lost is IfLost.LOCAL:
                return self._local.make(job.place, slot)
            if time.monotonic() - started_s >= _LOST_AFTER_S:
                raise _lost_error(job.place, self._source, tried)
            tried.clear()
            attempt += 1
            self._closing.wait(_ASK_AGAIN_S)
        raise WorkerError("the loader was closed")

    def _fetch(self, number: int, request: FeedRequest, slot: Slot, attempt: int) -> MadeBatch:
        link, started_s = self._links[number], time.monotonic()
        try:
            made = link.fetch(request, slot, self._choice.deadline_s(attempt))
        except BaseException as error:
            if self._choice.fail(number) and not self._closing.is_set():
                _LOGGER.warning("data host %s: %s; others are asked for its batches", link.host, error)
            raise
        self._choice.end(number, time.monotonic() - started_s)
        return msgspec.structs.replace(made, made_by=str(link.host))

    def _beat(self, number: int) -> None:
        """Send signs of life to a data host, and bring it back when it answers after it was put aside."""
        link, next_s = self._links[number], 0.0
        while not self._closing.wait(_LOOK_EVERY_S):
            is_down = self._choice.is_waiting_for_beat(number)
            if time.monotonic() < next_s and not is_down:
                continue
            next_s = time.monotonic() + _BEAT_EVERY_S
            try:
                link.beat(_BEAT_TIMEOUT_S)
            except (HostFailure, PackerError) as error:
                if self._choice.fail(number, is_outstanding=False):
                    _LOGGER.warning("data host %s: %s; others are asked for its batches", link.host, error)
            else:
                if self._choice.answered_beat(number):
                    _LOGGER.warning("data host %s: it answers again", link.host)


class _LocalMaker:
    """Makes batches on this host; opens nothing before the first one is needed."""

    def __init__(self, setup: LoaderSetup) -> None:
        self._setup = setup
        self._lock = threading.Lock()
        self._maker: BatchMaker | None = None
        self._threads: ThreadPoolExecutor | None = None

    def make(self, place: BatchPlace, slot: Slot) -> MadeBatch:
        with self._lock:
            if self._maker is None:
                _LOGGER.warning("no data host answers: batches are made here")
                self._threads = ThreadPoolExecutor(self._setup.given.threads, thread_name_prefix="loader")
                self._maker = BatchMaker(self._setup, self._threads)
        return self._maker.make(place, slot)

    def close(self) -> None:
        with self._lock:
            if self._threads is not None and self._maker is not None:
                self._threads.shutdown(wait=True, cancel_futures=True)
                self._maker.close()


def request_of(setup: LoaderSetup) -> FeedRequest:
    """Return the part that all requests of a loader share: a request without a place."""
    return FeedRequest(
        manifest_digest=setup.shards.manifest.digest,
        num_lanes=setup.shards.num_lanes,
        steps=setup.plan.steps,
        label_values=setup.layout.label_values,
        decoder_id=setup.decoder_id,
        spec=setup.spec,
    )


def check_hosts(setup: LoaderSetup) -> None:
    """Ask all data hosts whether they can make this loader's batches. Wait for hosts that do not answer yet.

    Logs a warning if some hosts do not answer in time.

    Raises:
        DataSetError: a host reads another data set, or no host answers in time.
        OptionsError: a host refuses the token, is not trusted, or cannot make batches of the loader's spec.
    """
    source = setup.given.feed
    assert source is not None
    request = request_of(setup)
    with ThreadPoolExecutor(len(source.hosts)) as pool:
        reasons = list(pool.map(lambda host: _check_host(host, source, request), source.hosts))
    missing = [f"{host}: {reason}" for host, reason in zip(source.hosts, reasons, strict=True) if reason]
    if len(missing) == len(source.hosts):
        raise DataSetError(f"no data host answers within {source.wait_s:g} s: {'; '.join(missing)}")
    for text in missing:
        _LOGGER.warning("data host %s; others are asked for its batches", text)


def finish_hosts(source: FeedSource) -> None:
    """Tell data hosts that training is over. A host that cannot be reached ends by itself after a while."""
    for host in source.hosts:
        with contextlib.suppress(HostFailure, PackerError):
            FlightLink(host, source).finish(_BEAT_TIMEOUT_S)


def _check_host(host: FeedHost, source: FeedSource, request: FeedRequest) -> str:
    """Return why a host does not answer; empty if it does. Raises as `check_hosts`."""
    link = FlightLink(host, source)
    until_s = time.monotonic() + source.wait_s
    while True:
        try:
            link.check(request, _CHECK_TIMEOUT_S)
        except HostFailure as failure:
            reason = link.explain() or str(failure)
        else:
            return ""
        if time.monotonic() >= until_s:
            return reason
        time.sleep(_ASK_AGAIN_S)


def _lost_error(place: BatchPlace, source: FeedSource, tried: dict[int, str]) -> WorkerError:
    reasons = "; ".join(f"{source.hosts[number]}: {reason}" for number, reason in tried.items())
    return WorkerError(
        f"epoch {place.epoch}, step {place.step}: no data host has answered for {_LOST_AFTER_S:g} s"
        f"{f' ({reasons})' if reasons else ''}; `feed_lost=local` would make the batches here"
    )


def _start(target: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
