"""Checks that the data of channels fit the disk of an instance: File mode copies all of them before the job starts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from packer.channels.channel_names import channel_name
from packer.dataset.manifest import Manifest
from packer.sagemaker.instance_types import has_own_disks
from packer.sagemaker.rules import instances_by_group, training_job_faults

_GB = 2**30
"""Bytes of a gigabyte in the size of a volume."""


def channel_bytes(manifest: Manifest) -> dict[str, int]:
    """Return the total bytes of each split's shards, by the name of the channel that carries the whole split."""
    return {
        channel_name(name): sum(shard.num_bytes for shard in split.shards) for name, split in manifest.splits.items()
    }


def volume_departures(request: Any, num_bytes: Mapping[str, int]) -> Iterator[str]:
    """Yield a text if the volumes of a CreateTrainingJob request are too small.

    Yields nothing for a request that SageMaker refuses, or for instances with local disks, whose size is fixed.

    Args:
        request: the request as it would be sent.
        num_bytes: bytes of a data set's channels, as `channel_bytes` returns them.
    """
    if training_job_faults(request):
        return
    resources, job_mode = request["ResourceConfig"], request["AlgorithmSpecification"]["TrainingInputMode"]
    types = [
        resources.get("InstanceType", ""),
        *(g.get("InstanceType", "") for g in resources.get("InstanceGroups", [])),
    ]
    if any(map(has_own_disks, types)):
        return
    shares = {}
    for channel in request.get("InputDataConfig", []):
        source, size = channel["DataSource"].get("S3DataSource"), num_bytes.get(channel["ChannelName"])
        if source is not None and size is not None and channel.get("InputMode", job_mode) == "File":
            shares[channel["ChannelName"]] = size / _readers(source, resources)
    least = math.ceil(sum(shares.values()) / _GB)
    if resources["VolumeSizeInGB"] < least:
        yield (
            f"ResourceConfig.VolumeSizeInGB: expected at least {least} for what channels in File mode bring to each "
            f"instance ({', '.join(shares)}), found {resources['VolumeSizeInGB']}"
        )


def _readers(source: Mapping[str, Any], resources: dict[str, Any]) -> int:
    """Return the number of instances that share a channel's objects; 1 if each instance gets all of them."""
    if source.get("S3DataDistributionType") != "ShardedByS3Key":
        return 1
    instances = instances_by_group(resources)
    return max(1, sum(instances.get(name, 0) for name in source.get("InstanceGroupNames") or [""]))
