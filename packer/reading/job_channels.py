"""A data set as a SageMaker training job sees it: shards through channels, the manifest through one of its own.

    <base>/input/data/meta/manifest.json      on every host
    <base>/input/data/train/...               File, FastFile, a mounted file system
    <base>/input/data/train0_0, train1_0      Pipe: FIFOs of local ranks 0 and 1 in the first epoch

Which host and how many there are is what `resourceconfig.json` says; which rank, what the launcher says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from packer.channels.channel_names import META_CHANNEL, InputMode, channel_name
from packer.channels.jobfiles import JobFiles, ResourceConfig, load_job_files
from packer.dataset.manifest import Manifest
from packer.errors import DataSetError, NotADataSetError, OptionsError
from packer.formats.container import Record
from packer.planning.rank_shards import shards_of_rank
from packer.reading.dataset import open_dataset
from packer.reading.folders import find_shards
from packer.reading.pipe_split import PipeChannel, StreamPlan, iter_epoch, shards_of_channel
from packer.reading.read_spec import ReadSpec, in_epoch_order
from packer.reading.shard_file import ShardFile, iter_files
from packer.reading.source import Share
from packer.specs import DEFAULT_STORE, StoreOptions, is_training_split


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """This process among all of the job's."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_size: int = 1
    is_on_data_host: bool = False
    """The rank is on another host of the job, and this process reads for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShards:
    """The shards of a split that are files on this host, and which of the ranks that read them this one is."""

    files: tuple[ShardFile, ...]
    """In the manifest's order."""
    numbers: tuple[int, ...]
    """Of `files` in the manifest."""
    is_shared_out: bool
    """Other hosts have other shards."""
    in_sequence: bool
    """Files are fetched as they are read, best from start to end: FastFile mode."""
    local_rank: int
    local_size: int


class _Feed(Protocol):
    """One split as it reaches this rank; the methods' contracts are RecordSource's."""

    @property
    def share(self) -> Share: ...

    def records(self, spec: ReadSpec, epoch: int) -> Iterator[tuple[str, Record]]: ...

    def files(self, spec: ReadSpec, epoch: int) -> tuple[ShardFile, ...] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _FolderFeed:
    share: Share
    host_shards: HostShards
    own: tuple[ShardFile, ...]
    """This rank's, in the manifest's order."""

    def records(self, spec: ReadSpec, epoch: int) -> Iterator[tuple[str, Record]]:
        return iter_files(self.files(spec, epoch), check=spec.check)

    def files(self, spec: ReadSpec, epoch: int) -> tuple[ShardFile, ...]:
        return in_epoch_order(self.own, self.share.split, seed=spec.seed, epoch=epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PipeFeed:
    share: Share
    channel: PipeChannel
    plan: StreamPlan

    def records(self, spec: ReadSpec, epoch: int) -> Iterator[tuple[str, Record]]:
        """The stream is the channel's next one: a run that goes on after a checkpoint begins with FIFO 0 again."""
        return iter_epoch(self.channel, self.plan, spec)

    def files(self, spec: ReadSpec, epoch: int) -> None:
        return None


class ChannelSource:
    """The channels of a training job; a RecordSource. It counts the epochs of Pipe channels, so keep one a process."""

    def __init__(self, files: JobFiles, manifest: Manifest, place: Place, *, first_fifo: int = 0) -> None:
        self._files, self._manifest, self._place, self._first_fifo = files, manifest, place, first_fifo
        self._feeds: dict[str, _Feed] = {}

    @property
    def uri(self) -> str:
        return self._files.folder("").rstrip("/")

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def host(self) -> str:
        """This host's name in the job."""
        return self._files.resources.current_host

    def check(self, split: str, *, rank: int, world: int) -> Share:
        """Look at the split's channels and list its folder. A Pipe cannot be checked before it is read.

        Raises as `RecordSource.check`, also where the split has no channel or not one for each local rank, or where
        `rank` and `world` are not this process's.
        """
        return self._feed(split, rank, world).share

    def check_all_pipes_are_read(self, splits: tuple[str, ...]) -> None:
        """Check that each Pipe channel carries one of the splits that are to be read.

        Raises:
            OptionsError: one does not. SageMaker ends a job after about an hour if nobody reads one of its Pipes.
        """
        for channel in self._files.channels:
            is_read = _split_of_pipe(self._manifest, channel) in splits
            if self._files.input_mode(channel) is InputMode.PIPE and not is_read:
                raise OptionsError(
                    f"channel {channel!r}: expected Pipe channels of the splits that are read alone "
                    f"({', '.join(splits)}), since a Pipe that nobody reads ends the job; leave the channel out of the "
                    "job, or read its split (`eval_split`)"
                )

    def records(self, split: str, spec: ReadSpec, *, epoch: int) -> Iterator[tuple[str, Record]]:
        """Yield the rank's records, from a Pipe in the order that they come. Raises as `RecordSource.records`."""
        return self._feed(split, spec.rank, spec.world).records(spec, epoch)

    def files(self, split: str, spec: ReadSpec, *, epoch: int) -> tuple[ShardFile, ...] | None:
        """Return the rank's shards; None for a Pipe. Raises as `check`."""
        return self._feed(split, spec.rank, spec.world).files(spec, epoch)

    def host_shards(self, split: str, *, rank: int, world: int) -> HostShards | None:
        """Return the split's shards on this host; None for a Pipe. Raises as `check`."""
        feed = self._feed(split, rank, world)
        return feed.host_shards if isinstance(feed, _FolderFeed) else None

    def _feed(self, split: str, rank: int, world: int) -> _Feed:
        if (rank, world) != (self._place.rank, self._place.world):
            raise OptionsError(
                f"{self.uri}: expected rank {self._place.rank} of {self._place.world}, for which the channels were "
                f"opened, got {rank} of {world}"
            )
        if split not in self._feeds:
            self._feeds[split] = self._open_feed(split)
        return self._feeds[split]

    def _open_feed(self, split: str) -> _Feed:
        place, shards = self._place, self._manifest.split(split).shards
        per_rank = len(shards_of_rank(len(shards), rank=place.rank, world=place.world))
        channel = find_channel(self._files, self._manifest, split, place)
        if place.is_on_data_host:
            self._check_is_replicated(channel)
        if self._files.input_mode(channel) is not InputMode.PIPE:
            return self._open_folder(split, channel)
        plan = StreamPlan(
            shards=shards_of_channel(shards, local_rank=place.local_rank, local_size=place.local_size),
            shards_per_rank=per_rank,
            training=is_training_split(split),
            format=self._manifest.format,
        )
        share = Share(split=split, delivery="Pipe", num_shards=len(shards), host=self.host, is_stream=True)
        return _PipeFeed(share=share, channel=PipeChannel(self._files, channel, self._first_fifo), plan=plan)

    def _check_is_replicated(self, channel: str) -> None:
        mode, sharded = self._files.input_mode(channel), self._files.channels[channel].sharded
        if mode is InputMode.PIPE or sharded:
            found = "ShardedByS3Key" if sharded else mode
            raise OptionsError(
                f"channel {channel!r}: expected File or FastFile with FullyReplicated on a data host, which makes "
                f"batches of all shards in any order, found {found}; change the channel, or name the data set's URI "
                "(`data`)"
            )

    def _open_folder(self, split: str, channel: str) -> _FolderFeed:
        place, mode = self._place, self._files.input_mode(channel)
        num_shards = len(self._manifest.split(split).shards)
        sharded = self._files.channels[channel].sharded
        num_expected = num_shards // (place.world // place.local_size) if sharded else num_shards
        found = find_shards(self._files, channel, self._manifest, split, num_expected=num_expected)
        if sharded:
            own = shards_of_rank(num_expected, rank=place.local_rank, world=place.local_size)
        else:
            own = shards_of_rank(num_expected, rank=place.rank, world=place.world)
        share = Share(
            split=split,
            delivery=f"{mode}, {'ShardedByS3Key' if sharded else 'FullyReplicated'}",
            num_shards=num_shards,
            host=self.host,
            own_shards=found.indices if sharded else (),
        )
        host_shards = HostShards(
            files=found.files,
            numbers=found.indices,
            is_shared_out=sharded,
            in_sequence=mode is InputMode.FAST_FILE,
            local_rank=place.local_rank,
            local_size=place.local_size,
        )
        return _FolderFeed(share=share, host_shards=host_shards, own=tuple(found.files[index] for index in own))


def open_channels(
    base_dir: str,
    place: Place,
    *,
    manifest_uri: str = "",
    store: StoreOptions = DEFAULT_STORE,
    first_fifo: int = 0,
) -> ChannelSource:
    """Open the channels of the training job that this process is part of.

    Args:
        base_dir: the job's folder, /opt/ml in a SageMaker container.
        place: of this process, as its launcher says.
        manifest_uri: the finished data set whose shards the channels carry, where no channel carries its manifest.
        store: how that one is reached.
        first_fifo: how many epochs of its Pipe channels the job has read before.

    Raises:
        NotADataSetError: the job's description or the manifest is missing.
        DataSetError: one of them cannot be read, or it is not what was written.
        OptionsError: the launcher's hosts are not the job's.
    """
    files = load_job_files(base_dir)
    if not place.is_on_data_host:
        _check_hosts(files, place)
    manifest = open_dataset(manifest_uri or _manifest_folder(files), store).manifest
    return ChannelSource(files, manifest, place, first_fifo=first_fifo)


def find_channel(files: JobFiles, manifest: Manifest, split: str, place: Place) -> str:
    """Return the channel from which a rank reads a split: the split's own, or in Pipe mode its local rank's.

    Raises:
        DataSetError: there is none, there are more or fewer Pipe channels than ranks on a host, or what they carry is
            wrapped.
    """
    whole = channel_name(split)
    numbered = {name for name in files.channels if _split_of_pipe(manifest, name) == split}
    wanted = {channel_name(split, rank) for rank in range(place.local_size)}
    if whole in files.channels and not numbered:
        found, wants_pipe = {whole}, False
    elif whole not in files.channels and numbered == wanted:
        found, wants_pipe = numbered, True
    else:
        raise _channel_error(files, split, place, sorted(files.channels))
    for name in sorted(found):
        if (files.input_mode(name) is InputMode.PIPE) != wants_pipe:
            raise _channel_error(files, split, place, [f"{name} in {files.input_mode(name)} mode"])
        if files.channels[name].record_wrapper_type not in ("", "None"):
            raise DataSetError(
                f"channel {name!r}: expected shards as they were packed (RecordWrapperType None), found "
                f"{files.channels[name].record_wrapper_type}, which makes one record of each shard"
            )
    return channel_name(split, place.local_rank) if wants_pipe else whole


def _split_of_pipe(manifest: Manifest, channel: str) -> str:
    """Return the split whose Pipe channel of a local rank this is, if any; ``train20`` is train2's, if there is one."""
    names = {channel_name(split): split for split in manifest.splits}
    if channel in names:
        return ""
    fitting = [name for name in names if re.fullmatch(re.escape(name) + "[0-9]+", channel)]
    return names[max(fitting, key=len)] if fitting else ""


def _channel_error(files: JobFiles, split: str, place: Place, found: list[str]) -> DataSetError:
    numbered = " ".join(channel_name(split, rank) for rank in range(place.local_size))
    return DataSetError(
        f"{files.folder('').rstrip('/')}: split {split!r}: expected channel {channel_name(split)} (File or FastFile), "
        f"or {numbered} (Pipe, one for each rank of a host), found {', '.join(found) or 'no channels'}"
    )


def _check_hosts(files: JobFiles, place: Place) -> None:
    resources = files.resources
    if resources.current_host not in resources.hosts:
        raise DataSetError(
            f"resourceconfig.json: expected this host {resources.current_host!r} among {', '.join(resources.hosts)}"
        )
    if place.world not in {num_hosts * place.local_size for num_hosts in _possible_hosts(resources)}:
        raise OptionsError(
            f"launcher: expected {place.local_size} ranks on each of the job's {len(resources.hosts)} hosts "
            f"({', '.join(resources.hosts)}), got {place.world} ranks in all; start the job with an MPI distribution, "
            "and equal processes on each host"
        )


def _possible_hosts(resources: ResourceConfig) -> set[int]:
    """Return on how many hosts ranks may be: all, or in a mixed cluster those of some groups, this one among them."""
    own = {len(group.hosts) for group in resources.instance_groups if resources.current_host in group.hosts}
    sums = own
    for group in resources.instance_groups:
        if resources.current_host not in group.hosts:
            sums = sums | {total + len(group.hosts) for total in sums}
    return sums | {len(resources.hosts)}


def _manifest_folder(files: JobFiles) -> str:
    folder = files.folder(META_CHANNEL)
    if META_CHANNEL not in files.channels:
        raise NotADataSetError(
            f"{folder}: expected a channel {META_CHANNEL!r} with the data set's manifest.json, found none among "
            f"{', '.join(sorted(files.channels)) or 'no channels'}; add it to the job, or name the data set with "
            "`manifest`"
        )
    return folder
