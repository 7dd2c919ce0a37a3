"""What a loader is asked for, and where it stands: values without behaviour, which travel to other processes."""

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
    """A SageMaker training job's channels, in the place of a data set's URI."""

    base_dir: str = "/opt/ml"
    local_rank: int = 0
    local_size: int = 1
    manifest_uri: str = ""
    """The finished data set whose shards the channels carry, where no channel `meta` carries its manifest."""
    is_data_host: bool = False
    """This host is none of those that train, and makes batches for them."""


class LoaderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the batches of a loader hold. Equal specs of one data set give equal batches, wherever they are made."""

    split: str
    batch_size: int
    """Samples per rank and step."""
    image_px: int
    """Width and height of the images."""
    rank: int = 0
    world: int = 1
    seed: int = 0
    """Of order, crops, flips and the transform's generator; the same on every rank."""
    shuffle_records: int = 1024
    """Most records of a block that is shuffled; 0 or 1 keeps each shard's own order."""
    min_area: float = 0.25
    """A training crop covers at least this share of the picture, at an aspect ratio of 3:4 to 4:3."""
    evaluation_crop: float = 0.875
    """An evaluation crop is the central square of this share of the short side."""
    transform: str = ""
    """``module:function``, called with each image and a generator; empty for none."""
    keys: bool = False
    columns: tuple[str, ...] = ()
    """Extra columns that batches hold."""
    fields: tuple[str, ...] | None = None
    """Fields that batches hold; None: all that the records have."""

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
        """Samples of all ranks in a step."""
        return self.batch_size * self.world

    def pixels_digest(self, decoder_id: str) -> str:
        """Return a digest of what decides an image's pixels, beside its record, the seed and the epoch."""
        parts = (self.image_px, self.min_area, self.evaluation_crop, self.transform, decoder_id)
        return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


class LoaderInput(msgspec.Struct, frozen=True, kw_only=True):
    """Where a loader's data are, and by how many threads they are read; nothing of it changes a batch."""

    source: str | ChannelInput
    """Path or URI of a finished data set, or a job's channels."""
    store: StoreOptions = DEFAULT_STORE
    cache: str = ""
    """``/folder:200GB``: where shards of a remote store are kept; empty reads records one by one."""
    threads: int = 1
    pipe_timeout_s: float = DEFAULT_PIPE_TIMEOUT_S
    first_fifo: int = 0
    """Of a Pipe channel, which FIFO is the first to be read: how many of its epochs this job has read."""

    feed: FeedSource | None = None
    """Data hosts that make the batches; None makes them here."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise OptionsError(f"threads: expected at least 1, got {self.threads}")
        if not self.pipe_timeout_s > 0:
            raise OptionsError(f"pipe timeout: expected seconds above 0, got {self.pipe_timeout_s:g}")


class BatchPlace(msgspec.Struct, frozen=True, gc=False):
    """Which batch of a split: the samples of all ranks from a position of an epoch on."""

    epoch: int
    position: int
    """Of the first sample of all ranks in the epoch."""
    step: int
    """Counted from 0 in the epoch."""


class LoaderState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a loader stands between two batches, as it is kept in a checkpoint."""

    version: int = STATE_VERSION
    manifest_digest: str
    split: str
    seed: int
    order_version: int = ORDER_VERSION
    shuffle_records: int
    epoch: int
    position: int
    """Samples of all ranks that the epoch has had."""
    steps: int
    """Handed out since the beginning, over all epochs."""
    batch_size: int
    """Samples of all ranks in a step."""
    spec_digest: str
    """Of what decides an image's pixels; see `LoaderSpec.pixels_digest`."""
    host_shares: tuple[tuple[int, ...], ...] = ()
    """Of each host, ascending, the shards that it alone has, where whoever kept the state knew them of all hosts."""


def parse_state(state: Mapping[str, object]) -> LoaderState:
    """Return a state that `Loader.state_dict` gave. Raises OptionsError where it is none, or a later version's."""
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
