"""Rules of this package for training jobs, against requests that SageMaker takes but that are undocumented or break.

Requests made here follow these rules. For requests from elsewhere, `check` reports departures as warnings. Each text
begins with the field.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from packer.channels.channel_names import channel_name_problem
from packer.sagemaker.rules import channel_list_faults, instances_by_group, training_job_faults
from packer.sagemaker.validation import show

_NAMES_ONE_FILE = re.compile(r".*/[^/]+\.[A-Za-z0-9]{1,10}")


def training_job_departures(request: Any, *, num_keys: Mapping[str, int] | None = None) -> list[str]:
    """Return the departures of a CreateTrainingJob request from the rules; empty if SageMaker refuses it anyway.

    Args:
        request: the request as it would be sent.
        num_keys: number of objects that a channel's prefix or list names, for each channel where it is known.
    """
    if training_job_faults(request):
        return []
    algorithm, channels = request["AlgorithmSpecification"], request.get("InputDataConfig", [])
    return [
        *_metric_departures(algorithm.get("MetricDefinitions", [])),
        *_checkpoint_departures(request.get("CheckpointConfig", {})),
        *_channel_departures(channels, algorithm["TrainingInputMode"]),
        *_share_departures(channels, instances_by_group(request["ResourceConfig"]), num_keys or {}),
    ]


def channel_list_departures(channels: Any) -> list[str]:
    """Return the departures of a list of channels from the rules; empty if SageMaker refuses it anyway."""
    return [] if channel_list_faults(channels) else list(_channel_departures(channels, "File"))


def _channel_departures(channels: list[dict[str, Any]], job_mode: str) -> Iterator[str]:
    names = [channel["ChannelName"] for channel in channels]
    for index, channel in enumerate(channels):
        path = f"InputDataConfig[{index}]"
        problem = channel_name_problem(names[index], others=names[:index])
        if problem:
            yield f"{path}.ChannelName: {problem}; found {show(names[index])}"
        source = channel["DataSource"].get("S3DataSource")
        if source is None and "ShuffleConfig" in channel:
            yield f"{path}.ShuffleConfig: expected with an S3DataSource only, whose objects SageMaker shuffles"
        if source is not None:
            yield from _uri_departures(source, channel.get("InputMode", job_mode), f"{path}.DataSource.S3DataSource")


def _uri_departures(source: dict[str, Any], mode: str, path: str) -> Iterator[str]:
    uri = source["S3Uri"]
    if not uri.startswith("s3://") or "//" in uri[len("s3://") :]:
        yield f"{path}.S3Uri: expected s3://bucket/key without empty parts, found {show(uri)}"
    elif (
        source["S3DataType"] == "S3Prefix"
        and not uri.endswith("/")
        and not (mode == "File" and _NAMES_ONE_FILE.fullmatch(uri))
    ):
        yield (
            f"{path}.S3Uri: expected a prefix that ends in '/', since s3://b/train names s3://b/train-01/x too, or "
            f"with InputMode File one object; found {show(uri)}"
        )


def _share_departures(
    channels: list[dict[str, Any]], instances: Mapping[str, int], num_keys: Mapping[str, int]
) -> Iterator[str]:
    """Compare the number of objects of sharded channels with the number of instances that share them."""
    for index, channel in enumerate(channels):
        source = channel["DataSource"].get("S3DataSource", {})
        num_instances = sum(instances.get(name, 0) for name in source.get("InstanceGroupNames") or [""])
        found = num_keys.get(channel["ChannelName"])
        if source.get("S3DataDistributionType") != "ShardedByS3Key" or not num_instances or found is None:
            continue
        path = f"InputDataConfig[{index}].DataSource.S3DataSource.S3DataDistributionType"
        if found < num_instances:
            yield (
                f"{path}: expected FullyReplicated or at least one object for each of {num_instances} instances, found "
                f"{found} objects: some instances would get none"
            )
        elif found % num_instances:
            yield (
                f"{path}: expected FullyReplicated or objects that divide by {num_instances} instances, found {found} "
                "objects: some instances would run out first"
            )


def _metric_departures(metrics: list[dict[str, str]]) -> Iterator[str]:
    for index, metric in enumerate(metrics):
        path = f"AlgorithmSpecification.MetricDefinitions[{index}].Regex"
        try:
            num_groups = re.compile(metric["Regex"]).groups
        except re.error as error:
            yield f"{path}: expected a regular expression, found {show(metric['Regex'])}: {error}"
            continue
        if num_groups != 1:
            yield f"{path}: expected one group, which is the metric's value, found {num_groups}"


def _checkpoint_departures(config: dict[str, Any]) -> Iterator[str]:
    path = config.get("LocalPath", "/opt/ml/checkpoints")
    taken = ("/opt/ml/input", "/opt/ml/output", "/opt/ml/model", "/opt/ml/code")
    if not os.path.isabs(path) or any(f"{path}/".startswith(f"{folder}/") for folder in taken):
        yield f"CheckpointConfig.LocalPath: expected a folder such as /opt/ml/checkpoints, found {show(path)}"
