"""The channels that a training job needs to read a data set, and the shards of each: a pure function of the manifest.

    File         one channel for each split, ShardedByS3Key: each instance gets equally many shards, unknown which
    Pipe         one channel for each split and local rank, ShardedByS3Key: each FIFO has one reader
    FastFile     one channel for each split; each instance sees all shards, and ranks share them by global rank
    FileSystem   as FastFile, from a mounted folder
    + meta       the manifest, on every instance

With data hosts, File also brings all shards to each instance, since a data host makes batches for any rank.

Shard i of a split goes to the Pipe channel of local rank i mod L, where L is the number of ranks of an instance. So all
channels have equally many shards, and so have all instances, however SageMaker assigns the shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from packer.channels.channel_names import META_CHANNEL, InputMode, channel_name, check_channel_names
from packer.channels.key_lists import keys_of_local_rank
from packer.dataset.manifest import Manifest
from packer.errors import OptionsError
from packer.formats.registry import check_streamed
from packer.planning.layout import MANIFEST_KEY, channel_manifest_key
from packer.specs import is_training_split


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The instances that read the data; all are of one kind."""

    instances: int
    gpus_per_instance: int
    """Ranks of an instance, at least 1; use 1 for an instance without GPUs."""

    def __post_init__(self) -> None:
        for name in ("instances", "gpus_per_instance"):
            if getattr(self, name) < 1:
                raise OptionsError(f"expected at least 1, got {getattr(self, name)}", field=name)

    @property
    def world(self) -> int:
        """Number of ranks."""
        return self.instances * self.gpus_per_instance


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlan:
    """One channel of a training job."""

    name: str
    split: str
    """Name of the split; empty for the manifest's channel."""
    mode: InputMode
    sharded: bool
    """True: each instance gets equally many of the keys (ShardedByS3Key). False: all keys (FullyReplicated)."""
    keys: tuple[str, ...]
    """Keys of the channel's objects, relative to the data set, ascending."""
    manifest_key: str = ""
    """Key of the ManifestFile that lists the objects, relative to the data set; empty if a prefix or folder does."""
    shuffle_seed: int | None = None
    """Seed with which SageMaker shuffles the keys; None for no shuffling."""


def plan_channels(
    manifest: Manifest,
    cluster: Cluster,
    *,
    mode: InputMode,
    splits: Sequence[str] = (),
    shuffle_seed: int | None = None,
) -> tuple[ChannelPlan, ...]:
    """Return the channels through which the ranks of `cluster` read a data set, the manifest's last.

    Args:
        manifest: manifest of the data set.
        cluster: the instances that read.
        mode: how the shards reach the ranks; the manifest always comes as a file.
        splits: names of splits; by default all of the data set's splits.
        shuffle_seed: lets SageMaker shuffle the shards of training splits, in Pipe mode again for each epoch.

    Raises:
        DataSetError: there is no such split.
        OptionsError: the shards do not fit the cluster, a channel's name cannot be used, there are too many channels,
            SageMaker does not shuffle in this mode, or the shards cannot be read from a Pipe.
    """
    if shuffle_seed is not None and mode not in (InputMode.FILE, InputMode.PIPE):
        raise OptionsError(
            f"expected `mode=File` or Pipe, got {mode}, in which SageMaker shuffles nothing; the "
            "trainer's own `seed` shuffles the shards of each rank",
            field="shuffle_seed",
        )
    if mode is InputMode.PIPE:
        check_streamed(manifest.format, uri=MANIFEST_KEY, reader="Pipe mode")
    plans = []
    for split in splits or tuple(manifest.splits):
        check_fits(manifest, split, cluster)
        seed = shuffle_seed if is_training_split(split) else None
        plans += _split_channels(manifest, split, cluster.gpus_per_instance, mode, seed)
    meta_mode = InputMode.FILE_SYSTEM if mode is InputMode.FILE_SYSTEM else InputMode.FILE
    plans.append(ChannelPlan(name=META_CHANNEL, split="", mode=meta_mode, sharded=False, keys=(MANIFEST_KEY,)))
    check_channel_names([plan.name for plan in plans])
    return tuple(plans)


def feedable(plans: Sequence[ChannelPlan]) -> tuple[ChannelPlan, ...]:
    """Return the channels changed so that each instance gets all shards, as data hosts need to serve any rank.

    Raises:
        OptionsError: the channels are Pipe channels, or SageMaker would shuffle them.
    """
    if any(plan.mode is InputMode.PIPE for plan in plans):
        raise OptionsError(
            "expected FastFile, File or FileSystem with `data_group`, got Pipe: a data host makes batches of any rank "
            "and step, for which it has to read anywhere in all shards, and a stream is read once, in its order",
            field="mode",
        )
    if any(plan.shuffle_seed is not None for plan in plans):
        raise OptionsError(
            "expected none with `data_group`: each instance gets all shards, whose order SageMaker would shuffle to no "
            "effect; the trainer's own `seed` shuffles them",
            field="shuffle_seed",
        )
    return tuple(replace(plan, sharded=False, manifest_key="") for plan in plans)


def check_fits(manifest: Manifest, split: str, cluster: Cluster) -> None:
    """Check that every rank of `cluster` gets the same number of a split's shards.

    Raises:
        DataSetError: there is no such split.
        OptionsError: there are fewer shards than ranks, or the number of shards is not divisible by that of ranks.
    """
    num_shards, world = len(manifest.split(split).shards), cluster.world
    remedy = (
        f"use a cluster whose ranks divide {num_shards}, or make shards for this one: shardpack reshard DEST NEW "
        f"`instances={cluster.instances}` `gpus_per_instance={cluster.gpus_per_instance}`"
    )
    shape = f"{cluster.instances} instances x {cluster.gpus_per_instance} ranks"
    if num_shards < world:
        raise OptionsError(
            f"split {split!r}: expected at least one shard for each of {world} ranks ({shape}), found {num_shards} "
            f"shards; {remedy}"
        )
    if num_shards % world:
        raise OptionsError(
            f"split {split!r}: expected shards that divide by {world} ranks ({shape}), found {num_shards} shards, so "
            f"some ranks would run out first; {remedy}"
        )


def _split_channels(
    manifest: Manifest, split: str, local_size: int, mode: InputMode, shuffle_seed: int | None
) -> list[ChannelPlan]:
    keys = tuple(shard.key for shard in manifest.split(split).shards)
    if mode is InputMode.PIPE:
        return [
            ChannelPlan(
                name=channel_name(split, local_rank),
                split=split,
                mode=mode,
                sharded=True,
                keys=keys_of_local_rank(keys, local_rank=local_rank, local_size=local_size),
                manifest_key=channel_manifest_key(split, local_size=local_size, local_rank=local_rank),
                shuffle_seed=shuffle_seed,
            )
            for local_rank in range(local_size)
        ]
    sharded = mode is InputMode.FILE
    return [
        ChannelPlan(
            name=channel_name(split),
            split=split,
            mode=mode,
            sharded=sharded,
            keys=keys,
            manifest_key=channel_manifest_key(split, local_size=local_size) if sharded else "",
            shuffle_seed=shuffle_seed,
        )
    ]
