"""InputDataConfig of a training job: the plan of its channels in the form of SageMaker's API."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from packer.channels.channel_names import META_CHANNEL, InputMode
from packer.channels.channel_plan import ChannelPlan
from packer.errors import OptionsError
from packer.sagemaker.house_rules import channel_list_departures
from packer.sagemaker.rules import channel_list_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """A file system that instances mount, and the folder of the data set on it."""

    file_system_id: str
    """``fs-`` and hexadecimal digits."""
    file_system_type: str
    """EFS or FSxLustre."""
    directory_path: str
    """Absolute path; on FSx for Lustre it begins with the mount name."""

    def __post_init__(self) -> None:
        if not self.directory_path.startswith("/"):
            raise OptionsError(f"expected an absolute path, got {self.directory_path!r}", field="directory_path")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlace:
    """Where instances find the data set, and which instances read it."""

    root: str
    """``s3://bucket/prefix`` without a ``/`` at the end; used only in messages if there is a file system."""
    file_system: FileSystem | None = None
    groups: tuple[str, ...] = ()
    """Instance groups that read the data set; empty for a cluster of one kind of instances."""


def build_channels(plans: Sequence[ChannelPlan], place: DataPlace) -> list[dict[str, Any]]:
    """Return InputDataConfig for these channels.

    Raises:
        OptionsError: SageMaker would refuse the channels, for instance because a URI is too long or not in S3.
    """
    channels = [_channel(plan, place) for plan in plans]
    faults = channel_list_faults(channels) or channel_list_departures(channels)
    if faults:
        raise OptionsError(f"channels for {place.root}: {faults[0]}")
    return channels


def _channel(plan: ChannelPlan, place: DataPlace) -> dict[str, Any]:
    channel: dict[str, Any] = {"ChannelName": plan.name}
    if place.file_system is not None:
        channel["DataSource"] = {"FileSystemDataSource": _file_system_source(plan, place.file_system)}
        channel["InputMode"] = InputMode.FILE.value
        return channel
    channel["DataSource"] = {"S3DataSource": _s3_source(plan, place)}
    channel["InputMode"] = plan.mode.value
    if plan.mode is InputMode.PIPE:
        channel |= {"CompressionType": "None", "RecordWrapperType": "None"}
    if plan.shuffle_seed is not None:
        channel["ShuffleConfig"] = {"Seed": plan.shuffle_seed}
    return channel


def _s3_source(plan: ChannelPlan, place: DataPlace) -> dict[str, Any]:
    tail = plan.manifest_key or (plan.keys[0] if plan.name == META_CHANNEL else f"{plan.split}/")
    source: dict[str, Any] = {
        "S3DataType": "ManifestFile" if plan.manifest_key else "S3Prefix",
        "S3Uri": f"{place.root}/{tail}",
        "S3DataDistributionType": "ShardedByS3Key" if plan.sharded else "FullyReplicated",
    }
    if place.groups:
        source["InstanceGroupNames"] = list(place.groups)
    return source


def _file_system_source(plan: ChannelPlan, file_system: FileSystem) -> dict[str, Any]:
    return {
        "FileSystemId": file_system.file_system_id,
        "FileSystemType": file_system.file_system_type,
        "FileSystemAccessMode": "ro",
        "DirectoryPath": posixpath.join(file_system.directory_path, plan.split).rstrip("/") or "/",
    }
