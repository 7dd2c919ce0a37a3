"""Everything needed to make batches, opened once in the loader's process and once in the process that makes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from packer.loading.batch_feed import BatchFeed
from packer.loading.batch_plan import BatchPlan, create_plan
from packer.loading.cache_options import open_cache
from packer.loading.feed_source import FeedSource
from packer.loading.loader_input import InputShards, find_shards, open_source
from packer.loading.loader_spec import LoaderInput, LoaderSpec
from packer.loading.picture_decoder import choose_decoder
from packer.loading.record_columns import open_columns
from packer.loading.record_reader import ShardOffsets
from packer.loading.sample_fields import choose_fields, labels_are_boxes
from packer.loading.sample_maker import MakerSetup, Transform, count_label_values
from packer.loading.shard_access import LocalShards, RangedShards, ShardAccess
from packer.loading.shard_cache import CachedShards
from packer.loading.slot_ring import SlotLayout, SlotRing
from packer.loading.stream_plan import StreamPlan
from packer.loading.streamed_labels import check_streamed_vectors, has_streamed_vectors
from packer.loading.thread_feed import PIECE_SAMPLES, ThreadFeed
from packer.loading.whole_shards import WholeShards
from packer.specs import FieldKind

_LENT_SLOTS = 2
"""Slots that a consumer may hold: the batch it works on, and the next one."""
_READY_SLOTS = 1
_LEAST_ASKED_FOR = 4
_MOST_ASKED_FOR = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a feed starts."""

    epoch: int
    position: int
    passes: int = 0
    """Number of feeds that the loader started before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderSetup:
    """An opened split."""

    given: LoaderInput
    spec: LoaderSpec
    shards: InputShards
    plan: BatchPlan
    maker: MakerSetup
    layout: SlotLayout
    decoder_id: str

    @property
    def num_slots(self) -> int:
        """Number of batches in memory: lent to the consumer, ready, and being made."""
        if self.given.feed is not None:
            return _LENT_SLOTS + _READY_SLOTS + num_asked_for(self.given.feed, self.spec)
        at_work = max(1, -(-self.given.threads * PIECE_SAMPLES // self.spec.batch_size))
        return _LENT_SLOTS + _READY_SLOTS + at_work + 1


def num_asked_for(feed: FeedSource, spec: LoaderSpec) -> int:
    """Return how many requests to data hosts are open at a time: two for each host that is a rank's first choice."""
    num_hosts = len(feed.hosts) // math.gcd(len(feed.hosts), spec.world)
    return min(_MOST_ASKED_FOR, max(_LEAST_ASKED_FOR, 2 * num_hosts))


def open_setup(given: LoaderInput, spec: LoaderSpec, transform: Transform | None) -> LoaderSetup:
    """Open a split. Raises as `open_source`, `find_shards` and `create_plan`."""
    source = open_source(given, spec)
    shards = find_shards(source, spec)
    vectors_beside = has_streamed_vectors(shards)
    if vectors_beside:
        check_streamed_vectors(shards, spec)
    if given.cache and not shards.is_stream:
        open_cache(given.cache, shards)  # raises now if the option is wrong
    plan = StreamPlan(source, given, spec) if shards.is_stream else create_plan(shards, spec)
    access = _direct_access(shards)
    maker = MakerSetup(
        spec=spec,
        shards=shards,
        offsets=_open_offsets(spec, shards, access),
        access=access,
        create_decoder=choose_decoder(source.manifest.image, spec),
        label_values=0,
        vectors_beside=vectors_beside,
        transform=transform,
        columns=open_columns(shards, spec),
    )
    fields = choose_fields(source.manifest, spec.fields)
    label_values = 0 if labels_are_boxes(source.manifest) else count_label_values(maker)
    maker = replace(maker, label_values=label_values, fields=fields)
    return LoaderSetup(
        given=given,
        spec=spec,
        shards=shards,
        plan=plan,
        maker=maker,
        layout=SlotLayout(
            batch_size=spec.batch_size,
            image_px=spec.image_px,
            label_values=label_values,
            masks=sum(field.kind is FieldKind.MASK for field in fields),
            pictures=sum(field.kind is FieldKind.IMAGE for field in fields),
        ),
        decoder_id=maker.create_decoder().decoder_id,
    )


def start_feed(setup: LoaderSetup, start: Start, ring: SlotRing | None = None) -> BatchFeed:
    """Start threads, or requests to data hosts, that fill the slots of `ring` (of a new ring if None)."""
    ring = ring or SlotRing(setup.layout, setup.num_slots)
    if setup.given.feed is not None:
        from packer.loading.remote_feed import RemoteFeed  # Arrow Flight, which few loaders need

        return RemoteFeed(setup, start, ring)
    places = setup.plan.places(start.epoch, start.position)
    return ThreadFeed(open_maker(setup), setup.plan, places, ring, setup.given.threads)


def open_maker(setup: LoaderSetup) -> MakerSetup:
    """Return the setup for making samples, with a shard access of its own, which the caller must close."""
    access = open_access(setup.given, setup.shards)
    return replace(setup.maker, access=access, offsets=_open_offsets(setup.spec, setup.shards, access))


def open_access(given: LoaderInput, shards: InputShards) -> ShardAccess:
    """Return the access to the bytes of shards that `given` asks for. The caller must close it."""
    if given.cache and not all(file.is_local for file in shards.files):
        return CachedShards(shards.files, open_cache(given.cache, shards))
    if shards.in_sequence:
        return WholeShards(shards.files, max_shards=2 * shards.num_lanes // math.gcd(shards.num_lanes, shards.world))
    return _direct_access(shards)


def _open_offsets(spec: LoaderSpec, shards: InputShards, access: ShardAccess) -> ShardOffsets:
    whole = access.whole if isinstance(access, WholeShards) else None
    return ShardOffsets(shards.files, spec.split, shards.index_store, whole)


def _direct_access(shards: InputShards) -> ShardAccess:
    """Return access to single records of shards, without a cache."""
    if all(file.is_local for file in shards.files):
        return LocalShards(shards.files)
    return RangedShards(shards.files)
