"""The part of a data host without a network: check what a rank asks for, and make its batches."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import msgspec

from packer.dataset.manifest import Manifest
from packer.errors import DataSetError, OptionsError, PackerError
from packer.loading.batch_feed import MadeBatch
from packer.loading.batch_maker import BatchMaker
from packer.loading.feed_request import FeedRequest, HostStatistics, RankStatistics
from packer.loading.loader_input import open_source
from packer.loading.loader_setup import LoaderSetup, open_setup
from packer.loading.loader_spec import BatchPlace, ChannelInput, LoaderInput, LoaderSpec
from packer.loading.record_order import ORDER_VERSION
from packer.loading.remote_feed import request_of
from packer.loading.sample_maker import load_transform
from packer.loading.slot_ring import Slot, SlotLayout, SlotRing
from packer.loading.thread_feed import PIECE_SAMPLES
from packer.trainer.feed.host_options import HostOptions

_LOGGER = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.1
_SENT_SLOTS = 3
"""Slots for batches that are being sent, in addition to those being made."""


class GivenUpError(PackerError):
    """Nobody waits for a batch any more."""


class RefusedError(PackerError):
    """A rank asks for batches that this host does not make."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text, exit_code)
        self.text, self.exit_code = text, exit_code

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class HostedBatch:
    """A batch in a slot. `release` gives the slot back after the batch was sent."""

    slot: Slot
    made: MadeBatch
    release: Callable[[], None]


class _Ring:
    """Slots of one shape. A caller waits until a slot is free, which slows down ranks that ask too fast."""

    def __init__(self, layout: SlotLayout, num_slots: int) -> None:
        self._ring = SlotRing(layout, num_slots)
        self._free: SimpleQueue[int] = SimpleQueue()
        for slot in range(num_slots):
            self._free.put(slot)

    def take(self, is_given_up: Callable[[], bool]) -> tuple[int, Slot]:
        """Return the number of a free slot, and the slot. Raises GivenUpError."""
        while not is_given_up():
            try:
                number = self._free.get(timeout=_LOOK_EVERY_S)
            except Empty:
                continue
            return number, self._ring.slots[number]
        raise GivenUpError("nobody waits for the batch any more")

    def give_back(self, number: int) -> None:
        self._free.put(number)  # a SimpleQueue is safe to use in destructors


@dataclass(frozen=True, slots=True)
class _Hosted:
    """One rank's batches of one split."""

    setup: LoaderSetup
    maker: BatchMaker
    ring: _Ring
    statistics: RankStatistics


class BatchHost:
    """Makes batches for any rank in a world of any size. Safe to call from any thread."""

    def __init__(self, options: HostOptions) -> None:
        """Open the data set.

        Raises:
            NotADataSetError, DataSetError: there is no data set, or it cannot be read.
            OptionsError: options contradict each other, or the channels are of a kind that cannot feed other hosts.
        """
        self._options = options
        self._num_threads = options.threads or len(os.sched_getaffinity(0))
        self._given = LoaderInput(
            source=options.data
            or ChannelInput(base_dir=options.base_dir, manifest_uri=options.manifest, is_data_host=True),
            store=options.store,
            cache=options.cache,
            threads=self._num_threads,
        )
        load_transform(options.transform)
        source = open_source(self._given, LoaderSpec(split="", batch_size=1, image_px=1))
        self.manifest: Manifest = source.manifest
        self.uri = source.uri
        self._threads = ThreadPoolExecutor(self._num_threads, thread_name_prefix="feed")
        self._lock = threading.Lock()
        self._hosted: dict[LoaderSpec, _Hosted] = {}
        self._rings: dict[SlotLayout, _Ring] = {}
        self._given_up = self._failed = 0
        self.last_word_s = time.monotonic()
        """Monotonic time of the last message from a rank."""
        self.has_heard = False

    def hear(self) -> None:
        """Note that a rank has sent a message."""
        self.last_word_s, self.has_heard = time.monotonic(), True

    def check(self, request: FeedRequest) -> None:
        """Check that this host can make the batches that a loader wants. Raises RefusedError."""
        try:
            self._open(request)
        except PackerError as error:
            raise RefusedError(str(error), error.exit_code) from None

    def make(self, request: FeedRequest, place: BatchPlace, is_given_up: Callable[[], bool]) -> HostedBatch:
        """Wait for a free slot, make a batch in it and return it.

        Args:
            request: the loader that asks.
            place: the batch that it asks for.
            is_given_up: returns True if nobody waits for the batch any more.

        Raises:
            RefusedError: this host does not make such batches.
            GivenUpError: nobody waits for the batch any more.
            PackerError: a record cannot be read or decoded.
        """
        self.check(request)
        hosted = self._hosted[request.spec]
        try:
            number, slot = hosted.ring.take(is_given_up)
        except GivenUpError:
            self._given_up += 1
            raise
        try:
            made = hosted.maker.make(place, slot)
        except BaseException:
            self._failed += 1
            hosted.ring.give_back(number)
            raise
        with self._lock:
            _count(hosted.statistics, made, hosted.setup.layout)
        return HostedBatch(slot, made, lambda: hosted.ring.give_back(number))

    def statistics(self) -> HostStatistics:
        """Return how much was made for each rank since the start."""
        with self._lock:
            ranks = [msgspec.structs.replace(hosted.statistics) for hosted in self._hosted.values()]
        ranks.sort(key=lambda rank: (rank.split, rank.world, rank.rank))
        return HostStatistics(ranks=tuple(ranks), given_up=self._given_up, failed=self._failed)

    def _open(self, request: FeedRequest) -> None:
        """Open a rank's split if it is not open yet, and compare both sides. Raises PackerError."""
        _check_data(request, self.manifest, self.uri)
        _check_transform(request.spec.transform, self._options.transform)
        with self._lock:
            hosted = self._hosted.get(request.spec)
            if hosted is None:
                hosted = self._hosted[request.spec] = self._host(request.spec)
        _check_same(request, request_of(hosted.setup))

    def _host(self, spec: LoaderSpec) -> _Hosted:
        setup = open_setup(self._given, spec, load_transform(spec.transform))
        ring = self._rings.get(setup.layout)
        if ring is None:
            num_slots = max(2, -(-self._num_threads * PIECE_SAMPLES // spec.batch_size)) + _SENT_SLOTS
            ring = self._rings[setup.layout] = _Ring(setup.layout, num_slots)
        _LOGGER.info("split %s: rank %d of %d asks for batches", spec.split, spec.rank, spec.world)
        statistics = RankStatistics(split=spec.split, rank=spec.rank, world=spec.world)
        return _Hosted(setup, BatchMaker(setup, self._threads), ring, statistics)


def _check_data(request: FeedRequest, manifest: Manifest, uri: str) -> None:
    if request.manifest_digest != manifest.digest:
        raise DataSetError(
            f"it reads another data set: {uri} has the manifest of digest {manifest.digest}, the rank's has "
            f"{request.manifest_digest}; start it with the data set that is trained on"
        )
    if request.order_version != ORDER_VERSION:
        raise OptionsError(
            f"it has version {ORDER_VERSION} of the order of records, the rank has {request.order_version}; install "
            "the same release of shardpack on both"
        )


def _check_transform(wanted: str, allowed: str) -> None:
    """Check that a rank asks for no transform but the one this host was started with; others are never run."""
    if wanted and wanted != allowed:
        raise OptionsError(
            f"it was started with {f'transform {allowed!r}' if allowed else 'no transform'}, the rank's loader has "
            f"{wanted!r}; start it with `transform={wanted}`"
        )


def _check_same(wanted: FeedRequest, own: FeedRequest) -> None:
    """Check that both sides derive the same values from the data set, the spec and their libraries."""
    for name, theirs, ours, advice in (
        (
            "decoder of images",
            wanted.decoder_id,
            own.decoder_id,
            "install the same wheel of shardpack on both (packer/docs/loading.md)",
        ),
        ("number of lanes", wanted.num_lanes, own.num_lanes, "let both read the data set by its URI"),
        ("steps of an epoch", wanted.steps, own.steps, "let both read the data set by its URI"),
        ("values of a label", wanted.label_values, own.label_values, "let both read the data set by its URI"),
    ):
        if theirs != ours:
            raise DataSetError(f"{name}: it has {ours!r}, the rank has {theirs!r}; {advice}")


def _count(statistics: RankStatistics, made: MadeBatch, layout: SlotLayout) -> None:
    statistics.batches += 1
    statistics.images += made.num_samples
    statistics.num_bytes += layout.slot_bytes
    statistics.store_s += made.store_s
    statistics.decode_s += made.decode_s
