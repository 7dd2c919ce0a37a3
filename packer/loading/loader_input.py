"""The shards that a loader reads: all of a data set, or those that a job's channels bring to this host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from packer.dataset.manifest import Manifest
from packer.errors import DataSetError, OptionsError
from packer.formats.registry import check_streamed
from packer.loading.loader_spec import ChannelInput, LoaderInput, LoaderSpec
from packer.reading.dataset import DataSet, open_dataset
from packer.reading.job_channels import ChannelSource, Place, open_channels
from packer.reading.shard_file import ShardFile
from packer.reading.source import RecordSource
from packer.stores.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class InputShards:
    """The shards of a split that some ranks share, and this process's rank among them."""

    uri: str
    manifest: Manifest
    files: tuple[ShardFile, ...]
    """Shards in the manifest's order: all shards of the split, or those of this host."""
    numbers: tuple[int, ...]
    """Indices of `files` in the manifest."""
    index_store: Store | None
    """Store with the shards' indexes; None if only the shards are available."""
    rank: int
    """This process's rank among those that share `files`, in [0, world)."""
    world: int
    """Number of ranks that share `files`."""
    num_lanes: int
    most_records: int
    """The most records that `world` ranks read in a pass, on any host."""
    is_shared_out: bool
    """Other hosts have other shards; the next job may distribute them differently."""
    in_sequence: bool = False
    """The shards are best read from start to end, as in FastFile mode."""
    is_stream: bool = False
    """The records come through a Pipe channel; there are no `files`."""

    @property
    def shard_counts(self) -> tuple[int, ...]:
        """Number of records of each of `files`."""
        return tuple(file.entry.num_records for file in self.files)


def open_source(given: LoaderInput, spec: LoaderSpec) -> RecordSource:
    """Open the data set or the job's channels.

    Raises as `open_dataset` and `open_channels`, and OptionsError for a container whose records cannot be read singly.
    """
    source: RecordSource
    if isinstance(given.source, str):
        source = open_dataset(given.source, given.store)
    else:
        source = _open_channels(given.source, spec, given)
    check_streamed(source.manifest.format, uri=source.uri, reader="the loader")
    return source


def find_shards(source: RecordSource, spec: LoaderSpec) -> InputShards:
    """Return the shards of the split and the ranks that share them.

    Raises:
        DataSetError: the split or a shard is missing, or a shard has another size.
        OptionsError: the channels belong to another rank.
    """
    entry = source.manifest.split(spec.split)
    if entry.num_records == 0:
        raise DataSetError(f"{source.uri}: expected records in split {spec.split!r}, found none")
    if isinstance(source, ChannelSource):
        return _find_in_channels(source, spec)
    if not isinstance(source, DataSet):
        raise OptionsError(f"{source.uri}: expected a data set or a job's channels")
    return InputShards(
        uri=source.uri,
        manifest=source.manifest,
        files=tuple(source.shard_file(shard) for shard in entry.shards),
        numbers=tuple(range(len(entry.shards))),
        index_store=source.store,
        rank=spec.rank,
        world=spec.world,
        num_lanes=source.manifest.world,
        most_records=entry.num_records,
        is_shared_out=False,
    )


def _open_channels(channels: ChannelInput, spec: LoaderSpec, given: LoaderInput) -> ChannelSource:
    place = Place(
        rank=spec.rank,
        world=spec.world,
        local_rank=channels.local_rank,
        local_size=channels.local_size,
        is_on_data_host=channels.is_data_host,
    )
    return open_channels(
        channels.base_dir,
        place,
        manifest_uri=channels.manifest_uri,
        store=given.store,
        first_fifo=given.first_fifo,
    )


def _find_in_channels(source: ChannelSource, spec: LoaderSpec) -> InputShards:
    host_shards = source.host_shards(spec.split, rank=spec.rank, world=spec.world)
    if host_shards is None:
        return _stream(source, spec)
    shards = source.manifest.split(spec.split).shards
    num_hosts = spec.world // host_shards.local_size if host_shards.is_shared_out else 1
    counts = sorted((shard.num_records for shard in shards), reverse=True)
    return InputShards(
        uri=source.uri,
        manifest=source.manifest,
        files=host_shards.files,
        numbers=host_shards.numbers,
        index_store=None,
        rank=host_shards.local_rank if host_shards.is_shared_out else spec.rank,
        world=host_shards.local_size if host_shards.is_shared_out else spec.world,
        num_lanes=_lanes_of_host(host_shards.files, source.manifest.world, num_hosts),
        most_records=sum(counts[: len(host_shards.files)]),
        is_shared_out=host_shards.is_shared_out,
        in_sequence=host_shards.in_sequence,
    )


def _stream(source: ChannelSource, spec: LoaderSpec) -> InputShards:
    return InputShards(
        uri=source.uri,
        manifest=source.manifest,
        files=(),
        numbers=(),
        index_store=None,
        rank=spec.rank,
        world=spec.world,
        num_lanes=1,
        most_records=0,
        is_shared_out=False,
        is_stream=True,
    )


def _lanes_of_host(files: Sequence[ShardFile], world: int, num_hosts: int) -> int:
    """Return the number of lanes of equal length for a host's shards: its part of all lanes, if that divides them."""
    return math.gcd(len(files), max(1, world // num_hosts))
