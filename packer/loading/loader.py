"""`packer.Loader`: batches of a data set. Each depends only on (data set, spec, epoch, step, rank, world).

loader = packer.Loader("s3://bucket/shards", "train", batch_size=256, image_px=224, rank=r, world=w)
for batch in loader:
    step(batch.images, batch.labels)
"""

from __future__ import annotations

import functools
import logging
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType

import msgspec
import numpy as np
import numpy.typing as npt

from packer.dataset.manifest import Manifest
from packer.errors import OptionsError
from packer.loading.batch import Batch, lease_images
from packer.loading.batch_feed import BatchFeed, MadeBatch
from packer.loading.feed_source import FeedSource, find_hosts
from packer.loading.host_ranks import count_host_ranks
from packer.loading.loader_meter import LoaderMeter, MeterReading
from packer.loading.loader_setup import LoaderSetup, Start, open_setup, start_feed
from packer.loading.loader_spec import ChannelInput, LoaderInput, LoaderSpec, LoaderState, parse_state
from packer.loading.loader_state import HostShares, check_state, sort_shares
from packer.loading.process_feed import ProcessFeed
from packer.loading.sample_fields import as_fields
from packer.loading.sample_maker import Transform, load_transform
from packer.loading.slot_ring import SlotLayout
from packer.loading.streamed_labels import create_streamed_labels
from packer.processors import count_processors
from packer.reading.read_spec import DEFAULT_PIPE_TIMEOUT_S
from packer.specs import DEFAULT_STORE, StoreOptions

_LOGGER = logging.getLogger(__name__)
_SLOTS_AT_WORK = 2
"""Slots that are never lent to a consumer: a batch that would take one of the last two is copied."""


class Loader:
    """Yields the batches of one split for one rank, and makes them ahead of the training loop.

    A split named ``train`` or ``train-...`` is shuffled, cropped at random and mirrored, and never ends. Any other
    split is read once in stored order and cropped around the centre.

    Args:
        uri: path or URI of a finished data set, or the channels of a SageMaker job.
        split: name of one of the data set's splits.
        batch_size: samples per rank and step.
        image_px: width and height of the images in pixels.
        rank: this process's rank, in [0, world).
        world: number of ranks; any number of at least 1.
        threads: threads that decode; by default the processors of this process divided by the ranks of the host.
        where: ``subprocess`` makes batches in another process, ``process`` in threads of this process.
        cache: ``/folder:200GB`` keeps shards of a remote store in that folder; if empty, records are read one by one.
        transform: called with each image and a random generator for it; a name ``module:function``, or a function. With
            ``subprocess``, the function must be importable by its name.
        keys: True if batches hold the samples' keys.
        columns: names of the extra columns that batches hold.
        fields: names of the fields that batches hold; by default all that the records have.
        seed: seed of order, crops, flips and transforms; the same on every rank.
        shuffle_records: most records of a block that is shuffled; 0 or 1 keeps each shard's own order.
        min_area: a training crop covers at least this share of the picture, in (0, 1].
        evaluation_crop: an evaluation crop is the central square; its side is this share of the short side, in (0, 1].
        store: store options for remote URIs.
        feed: data hosts that make the batches, as ``host:port,host:port``; a name stands for all its addresses.
        stall_timeout_s: seconds without a sign of life after which the subprocess is ended.
        pipe_timeout_s: seconds to wait for a Pipe channel's FIFO or its next byte.

    Raises:
        NotADataSetError: there is no finished data set.
        DataSetError: the data set cannot be read, or has no such split.
        OptionsError: an option is out of range, the split cannot fill a batch, or a data host refuses the request.
    """

    def __init__(
        self,
        uri: str | ChannelInput,
        split: str,
        *,
        batch_size: int,
        image_px: int,
        rank: int = 0,
        world: int = 1,
        threads: int | None = None,
        where: str = "subprocess",
        cache: str = "",
        transform: Transform | str | None = None,
        keys: bool = False,
        columns: Sequence[str] = (),
        fields: Sequence[str] | None = None,
        seed: int = 0,
        shuffle_records: int = 1024,
        min_area: float = 0.25,
        evaluation_crop: float = 0.875,
        store: StoreOptions = DEFAULT_STORE,
        feed: FeedSource | str = "",
        stall_timeout_s: float = 60.0,
        pipe_timeout_s: float = DEFAULT_PIPE_TIMEOUT_S,
    ) -> None:
        """Open the split; no batch is made before the first one is requested."""
        _check_place(where, transform, stall_timeout_s)
        spec = LoaderSpec(
            split=split,
            batch_size=batch_size,
            image_px=image_px,
            rank=rank,
            world=world,
            seed=seed,
            shuffle_records=shuffle_records,
            min_area=min_area,
            evaluation_crop=evaluation_crop,
            transform=transform if isinstance(transform, str) else _name_of(transform),
            keys=keys,
            columns=tuple(columns),
            fields=None if fields is None else tuple(fields),
        )
        threads = threads or default_threads()
        given = LoaderInput(
            source=uri, store=store, cache=cache, threads=threads, pipe_timeout_s=pipe_timeout_s, feed=_find_feed(feed)
        )
        self._where, self._stall_timeout_s = where, stall_timeout_s
        self._open(given, spec, transform)

    def _open(self, given: LoaderInput, spec: LoaderSpec, transform: Transform | str | None) -> None:
        function = load_transform(transform) if isinstance(transform, str) else transform
        self._setup = open_setup(given, spec, function)
        if given.feed is not None:
            _check_feed(self._setup)
        self._vectors = create_streamed_labels(self._setup.shards, spec)
        self._meter = LoaderMeter(given.threads)
        self._feed: BatchFeed | None = None
        self._stop: weakref.finalize[[], Loader] | None = None
        self._start = Start(epoch=0, position=0)
        self._steps_done = self._passes = 0
        self._lent: set[int] = set()

    @property
    def spec(self) -> LoaderSpec:
        return self._setup.spec

    @property
    def manifest(self) -> Manifest:
        """The manifest of the data set."""
        return self._setup.shards.manifest

    @property
    def steps(self) -> int:
        """Number of batches in an epoch, the same on every rank."""
        return self._setup.plan.steps

    @property
    def decoder_id(self) -> str:
        """Id of the decoder that makes the pixels; all ranks of a run should have the same id."""
        return self._setup.decoder_id

    @property
    def meter(self) -> MeterReading:
        """Measurements since the first batch was requested, or since `reset_meter`."""
        return self._meter.read()

    def reset_meter(self) -> None:
        """Restart the meter with the next batch."""
        self._meter.reset()

    def count_hand_over(self, seconds: float) -> None:
        """Add to the meter the seconds that an adapter took to convert a batch for its framework."""
        self._meter.count_hand_over(seconds)

    @property
    def memory_bytes(self) -> int:
        """Bytes of the batches that are made ahead: the largest part of a loader's memory."""
        return self._setup.num_slots * self._setup.layout.slot_bytes

    @property
    def layout(self) -> SlotLayout:
        """Shapes of the arrays of a batch."""
        return self._setup.layout

    @property
    def label_shape(self) -> tuple[int | None, ...]:
        """Shape of labels: (batch,) for class ids, (batch, n) for vectors; n is None until a stream's first record."""
        if self._vectors is None:
            return self.layout.label_shape
        return (self.spec.batch_size, self._vectors.num_values)

    @property
    def slot_memory(self) -> npt.NDArray[np.uint8] | None:
        """The memory of all slots, for adapters that pin it; uint8, one axis. None before the first batch."""
        return None if self._feed is None else self._feed.ring.memory

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches from the loader's position on: without end for a training split, one pass for any other.

        An error stops the making of batches. Raises:
            DataSetError: a shard or a sample cannot be read or decoded; the text names shard and record.
            CorruptRecordError: a record's framing or a checksum is wrong.
            WorkerError: the subprocess ended, or gives no sign of life.
            OSError: there is not enough memory for batches, or no process can be started.
        """
        if not self.spec.is_training and self._feed is not None:
            self._halt()  # the pass before was not read to its end
            self._start = Start(epoch=self._start.epoch, position=0)
        while (batch := self._next()) is not None:
            yield batch

    @property
    def share(self) -> tuple[int, ...]:
        """Indices in the manifest of the shards that only this host has; empty if every host has all shards."""
        return self._setup.shards.numbers if self._setup.shards.is_shared_out else ()

    def state_dict(self, *, host_shares: HostShares = ()) -> dict[str, object]:
        """Return the loader's position after the batches that were handed out, as a dict that JSON can store.

        Args:
            host_shares: `share` of each host. If hosts have shards of their own, a loader can resume in the middle of
                an epoch only from a state that has them.
        """
        setup = self._setup
        state = LoaderState(
            manifest_digest=self.manifest.digest,
            split=self.spec.split,
            seed=self.spec.seed,
            shuffle_records=self.spec.shuffle_records,
            epoch=self._start.epoch,
            position=self._start.position,
            steps=self._steps_done,
            batch_size=self.spec.batch_size * setup.shards.world,
            spec_digest=self.spec.pixels_digest(self.decoder_id),
            host_shares=sort_shares(host_shares),
        )
        found: dict[str, object] = msgspec.json.decode(msgspec.json.encode(state))
        return found

    def load_state_dict(self, state: Mapping[str, object], *, host_shares: HostShares = ()) -> None:
        """Continue after the batches that were handed out before the state was saved; world and batch size may differ.

        Logs a warning if images differ from those before: another size, decoder or transform. Also logs a warning if
        the epoch starts again, because the split is a stream, or hosts have shards of their own that were distributed
        differently.

        Args:
            state: a return value of `state_dict`.
            host_shares: `share` of each host now. If they are the shares of the state, no matter which host has which,
                the epoch continues where it stopped.

        Raises:
            OptionsError: the state belongs to another data set, split, seed, order or shuffle_records.
        """
        found = parse_state(state)
        check_state(found, self.spec, manifest_digest=self.manifest.digest, decoder_id=self.decoder_id)
        self._halt()
        self._steps_done = found.steps
        self._start = Start(epoch=found.epoch, position=found.position)
        shards = self._setup.shards
        is_dealt_anew = shards.is_shared_out and sort_shares(host_shares or ((),)) != found.host_shares
        if found.position and (is_dealt_anew or shards.is_stream):
            why = "a Pipe is a stream" if shards.is_stream else "hosts have shards of their own, which were dealt anew"
            _LOGGER.warning("%s: %s: epoch %d is begun anew", shards.uri, why, found.epoch)
            self._start = Start(epoch=found.epoch, position=0)

    def close(self) -> None:
        """Stop making batches. Batches in use stay valid; a new iteration continues where the last one stopped."""
        self._halt()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _next(self) -> Batch | None:
        feed = self._feed or self._begin()
        asked_s = self._meter.start()
        was_ready = feed.has_batch()
        try:
            made = feed.take()
            vectors = None if made is None or self._vectors is None else self._vectors.array(made.vectors)
        except BaseException:
            self._halt()
            raise
        if made is None:
            self._halt()
            return None
        self._meter.count(made, asked_s=asked_s, was_ready=was_ready)
        epoch, position = self._setup.plan.after(made.place)
        self._start = Start(epoch=epoch, position=position)
        self._steps_done += 1
        came_s = time.perf_counter()
        batch = self._hand_out(feed, made, vectors)
        self.count_hand_over(time.perf_counter() - came_s)
        return batch

    def _hand_out(self, feed: BatchFeed, made: MadeBatch, vectors: npt.NDArray[np.float32] | None) -> Batch:
        """Return a batch that refers to its slot, or to a copy if the consumer holds too many slots already."""
        slot, number = feed.ring.slots[made.slot], made.slot
        labels, weights = slot.labels.copy() if vectors is None else vectors, slot.weights.copy()
        fields = as_fields(self._setup.maker.fields, slot, made.fields)
        if len(self._lent) + _SLOTS_AT_WORK < feed.ring.num_slots:
            self._lent.add(number)
            images = lease_images(slot.images, functools.partial(_release, feed, self._lent, number))
        else:
            images = slot.images.copy()
            feed.give_back(number)
        return Batch(
            images=images,
            labels=labels,
            weights=weights,
            epoch=made.place.epoch,
            step=made.place.step,
            num_samples=made.num_samples,
            keys=made.keys,
            columns=made.columns,
            fields=fields,
        )

    def _begin(self) -> BatchFeed:
        if self._passes and self._setup.shards.is_stream and self.spec.is_training:
            raise OptionsError(f"{self._setup.shards.uri}: a Pipe is one stream, which cannot be begun again")
        self._lent = set()
        self._start = replace(self._start, passes=self._passes)
        self._passes += 1
        feed: BatchFeed
        if self._where == "process":
            feed = start_feed(self._setup, self._start)
        else:
            feed = ProcessFeed(self._setup, self._start, stall_timeout_s=self._stall_timeout_s)
        self._feed = feed
        self._stop = weakref.finalize(self, feed.close)
        return feed

    def _halt(self) -> None:
        if self._stop is not None:
            self._stop()
        self._feed = self._stop = None


def default_threads() -> int:
    """Return the processors that this process may use (by affinity and cgroups) divided by the ranks on its host."""
    return max(1, count_processors() // count_host_ranks())


def _check_place(where: str, transform: Transform | str | None, stall_timeout_s: float) -> None:
    """Check `where`, the timeout, and that the transform can be called there. Raises OptionsError."""
    if not stall_timeout_s > 0:
        raise OptionsError(f"stall timeout: expected seconds above 0, got {stall_timeout_s:g}")
    if where not in ("subprocess", "process"):
        raise OptionsError(f"where: expected subprocess or process, got {where!r}")
    if where == "subprocess" and callable(transform):
        name = _name_of(transform)
        if name.startswith("__main__:") or "<" in name:
            raise OptionsError(
                f"transform: expected a function that another process can import, got {name}; move it to the top level "
                'of a module, or make the batches in this process (where="process")'
            )


def _find_feed(feed: FeedSource | str) -> FeedSource | None:
    if isinstance(feed, FeedSource):
        return feed
    return FeedSource(hosts=find_hosts(feed)) if feed else None


def _check_feed(setup: LoaderSetup) -> None:
    """Check that data hosts can make the loader's batches. Raises OptionsError, and as `check_hosts`."""
    from packer.loading.remote_feed import check_hosts  # Arrow Flight, which few loaders need

    shards = setup.shards
    if shards.is_stream or shards.is_shared_out:
        what = "a Pipe, a stream that only this host sees" if shards.is_stream else "shards of this host alone"
        raise OptionsError(
            f"{shards.uri}: split {setup.spec.split!r} comes as {what}, so data hosts cannot make its batches; give "
            "all hosts all shards (FullyReplicated File or FastFile channels), or the data set's URI",
            field="feed",
        )
    check_hosts(setup)


def _release(feed: BatchFeed, lent: set[int], slot: int) -> None:
    lent.discard(slot)
    feed.give_back(slot)


def _name_of(function: Callable[..., object] | None) -> str:
    if function is None:
        return ""
    name = getattr(function, "__qualname__", f"<{type(function).__name__}>")
    return f"{getattr(function, '__module__', '')}:{name}"
