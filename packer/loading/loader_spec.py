"""Settings and state of a loader, as plain values that can be sent to other processes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from packer.errors import OptionsError
from packer.loading.feed_source import FeedSource
from packer.loading.record_order import ORDER_VERSION
from packer.reading.read_spec import DEFAULT_PIPE_TIMEOUT_S
from packer.specs import DEFAULT_STORE, StoreOptions, is_training_split

STATE_VERSION = 1


class ChannelInput(msgspec.Struct, frozen=True, kw_only=True):
    """The channels of a SageMaker training job, given to `Loader` instead of a data set's URI."""

    base_dir: str = "/opt/ml"
    """Folder of the job's files and channels."""
    local_rank: int = 0
    """Rank of this process among those on its host, in [0, local_size)."""
    local_size: int = 1
    """Number of ranks on this host."""
    manifest_uri: str = ""
    """URI of the finished data set whose shards the channels carry; needed if no channel `meta` has its manifest."""
    is_data_host: bool = False
    """True if this host does not train but makes batches for hosts that do."""


class LoaderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that decide a loader's batches. For one data set, equal specs give equal batches on every host."""

    split: str
    batch_size: int
    """Samples per rank and step."""
    image_px: int
    """Width and height of the images."""
    rank: int = 0
    world: int = 1
    seed: int = 0
    """Seed of order, crops, flips and the transform's generator; the same on every rank."""
    shuffle_records: int = 1024
    """Most records of a block that is shuffled; 0 or 1 keeps each shard's own order."""
    min_area: float = 0.25
    """A training crop covers at least this share of the picture, at an aspect ratio of 3:4 to 4:3."""
    evaluation_crop: float = 0.875
    """An evaluation crop is the central square of the picture; its side is this share of the short side."""
    transform: str = ""
    """``module:function``, called with each image and a generator; empty for none."""
    keys: bool = False
    """True if batches hold the samples' keys."""
    columns: tuple[str, ...] = ()
    """Names of the extra columns that batches hold."""
    fields: tuple[str, ...] | None = None
    """Names of the fields that batches hold; None for all that the records have."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise OptionsError(f"rank: expected 0 to {self.world - 1}, got {self.rank}")
        for name in ("batch_size", "image_px"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("min_area", "evaluation_crop"):
            if not 0 < getattr(self, name) <= 1:
                raise OptionsError(f"{name}: expected a share above 0, up to 1, got {getattr(self, name)}")
        if self.shuffle_records < 0:
            raise OptionsError(f"shuffle_records: expected at least 0, got {self.shuffle_records}")

    @property
    def is_training(self) -> bool:
        return is_training_split(self.split)

    @property
    def global_batch(self) -> int:
        """Samples of a step over all ranks."""
        return self.batch_size * self.world

    def pixels_digest(self, decoder_id: str) -> str:
        """Return a digest of the settings that, with record, seed and epoch, decide an image's pixels."""
        parts = (self.image_px, self.min_area, self.evaluation_crop, self.transform, decoder_id)
        return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


class LoaderInput(msgspec.Struct, frozen=True, kw_only=True):
    """Where a loader's data are and how they are read. None of these values changes a batch."""

    source: str | ChannelInput
    """Path or URI of a finished data set, or a job's channels."""
    store: StoreOptions = DEFAULT_STORE
    cache: str = ""
    """``/folder:200GB`` keeps shards of a remote store in that folder; if empty, records are read one by one."""
    threads: int = 1
    pipe_timeout_s: float = DEFAULT_PIPE_TIMEOUT_S
    first_fifo: int = 0
    """Number of a Pipe channel's FIFO to read first: the number of its epochs that this job has already read."""

    feed: FeedSource | None = None
    """Data hosts that make the batches; if None, this host makes them."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise OptionsError(f"threads: expected at least 1, got {self.threads}")
        if not self.pipe_timeout_s > 0:
            raise OptionsError(f"pipe timeout: expected seconds above 0, got {self.pipe_timeout_s:g}")


class BatchPlace(msgspec.Struct, frozen=True, gc=False):
    """Identifies a batch of a split: the samples of all ranks from a position of an epoch on."""

    epoch: int
    position: int
    """Position in the epoch of the batch's first sample, counted over all ranks."""
    step: int
    """Counted from 0 in the epoch."""


class LoaderState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A loader's position between two batches, for a checkpoint."""

    version: int = STATE_VERSION
    manifest_digest: str
    split: str
    seed: int
    order_version: int = ORDER_VERSION
    shuffle_records: int
    epoch: int
    position: int
    """Samples of the epoch that all ranks together have taken."""
    steps: int
    """Batches handed out since the beginning, over all epochs."""
    batch_size: int
    """Samples of a step over all ranks."""
    spec_digest: str
    """`LoaderSpec.pixels_digest` of the loader."""
    host_shares: tuple[tuple[int, ...], ...] = ()
    """For each host, the ascending indices of the shards that only it has; empty if they were not given."""


def parse_state(state: Mapping[str, object]) -> LoaderState:
    """Parse a state that `Loader.state_dict` returned. Raises OptionsError for anything else and for later versions."""
    version = state.get("version")
    if isinstance(version, int) and version > STATE_VERSION:
        raise OptionsError(
            f"state: expected version {STATE_VERSION} or lower, got {version}: a later shardpack wrote it; "
            "upgrade shardpack"
        )
    try:
        return msgspec.convert(state, LoaderState)
    except msgspec.ValidationError as error:
        raise OptionsError(f"state: expected what state_dict() gave, but {error}") from None
