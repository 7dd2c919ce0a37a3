"""Rules of SageMaker's documentation for training jobs that the description of its API does not contain.

Each rule yields faults; each text begins with the field. SageMaker refuses a request with a fault, or its job cannot
run. Advice against requests that SageMaker takes is in `house_rules` and `job_advice`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from packer.sagemaker.instance_types import has_own_disks
from packer.sagemaker.validation import member_faults, request_faults, show

_MPI_GROUPS = "sagemaker_distribution_instance_groups"
_PARTS = ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition")
"""Members that the description calls optional (for jobs without an own image), but that are required here."""
_SOURCES = ("S3DataSource", "FileSystemDataSource", "DatasetSource")


def training_job_faults(request: Any) -> list[str]:
    """Return all faults of a CreateTrainingJob request as it would be sent; each text begins with the field.

    The rules need a well-formed request, so they are checked only if the API's description finds no fault.
    """
    faults = [*request_faults("CreateTrainingJob", request)]
    if not faults:
        faults += [f"{name}: expected a value, found none" for name in _PARTS if name not in request]
    return faults or [
        *_algorithm_faults(request["AlgorithmSpecification"]),
        *_resource_faults(request["ResourceConfig"]),
        *_stopping_faults(request),
        *_warm_pool_faults(request),
        *_tag_faults(request.get("Tags", [])),
        *_metric_faults(request["AlgorithmSpecification"].get("MetricDefinitions", [])),
        *_distribution_faults(request),
        *channel_faults(
            request.get("InputDataConfig", []),
            job_mode=request["AlgorithmSpecification"]["TrainingInputMode"],
            groups=instances_by_group(request["ResourceConfig"]),
        ),
        *_network_faults(request),
    ]


def channel_list_faults(channels: Any) -> list[str]:
    """Return all faults of a list of channels (InputDataConfig), independent of the cluster."""
    faults = [*member_faults("CreateTrainingJob", "InputDataConfig", channels)]
    if faults:
        return faults
    sources = [channel["DataSource"].get("S3DataSource", {}) for channel in channels]
    groups = {name for source in sources for name in source.get("InstanceGroupNames", [])}
    return list(channel_faults(channels, job_mode="File", groups=groups))


def channel_faults(channels: list[dict[str, Any]], *, job_mode: str, groups: Collection[str]) -> Iterator[str]:
    """Yield the faults of the channels of a job.

    Args:
        channels: InputDataConfig, well-formed.
        job_mode: input mode of channels that do not name one.
        groups: names of the job's instance groups.
    """
    names = [channel["ChannelName"] for channel in channels]
    for index, channel in enumerate(channels):
        path = f"InputDataConfig[{index}]"
        if names[index] in names[:index]:
            yield f"{path}.ChannelName: expected each name once, found {show(names[index])} again"
        sources = [name for name in _SOURCES if name in channel["DataSource"]]
        if len(sources) != 1 or len(channel["DataSource"]) != 1:
            yield f"{path}.DataSource: expected exactly one of {', '.join(_SOURCES)}, found {len(sources)}"
            continue
        mode = channel.get("InputMode", job_mode)
        yield from _framing_faults(channel, mode, path)
        if sources == ["S3DataSource"]:
            source, base = channel["DataSource"]["S3DataSource"], f"{path}.DataSource.S3DataSource"
            yield from _s3_faults(source, mode, base)
            yield from _group_faults(source.get("InstanceGroupNames", []), groups, base)
        elif mode != "File":
            yield f"{path}.InputMode: expected File for a {sources[0]}, found {mode}"
    yield from _mixed_group_faults(channels)


def _mixed_group_faults(channels: list[dict[str, Any]]) -> Iterator[str]:
    sources = {channel["ChannelName"]: channel["DataSource"].get("S3DataSource") for channel in channels}
    named = {name: bool(source.get("InstanceGroupNames")) for name, source in sources.items() if source}
    if len(set(named.values())) > 1:
        without = ", ".join(name for name, is_named in named.items() if not is_named)
        yield f"InputDataConfig: expected InstanceGroupNames in all channels or in none, found none in {without}"


def _framing_faults(channel: dict[str, Any], mode: str, path: str) -> Iterator[str]:
    for name in ("CompressionType", "RecordWrapperType"):
        if mode != "Pipe" and channel.get(name, "None") != "None":
            yield f"{path}.{name}: expected None or no value with InputMode {mode}, found {channel[name]}"


def _s3_faults(source: dict[str, Any], mode: str, path: str) -> Iterator[str]:
    kind, uri = source["S3DataType"], source["S3Uri"]
    if mode == "FastFile" and kind != "S3Prefix":
        yield f"{path}.S3DataType: expected S3Prefix with InputMode FastFile, found {kind}"
    if kind == "AugmentedManifestFile" and mode != "Pipe":
        yield f"{path}.S3DataType: expected AugmentedManifestFile with InputMode Pipe only, found {mode}"
    if kind == "AugmentedManifestFile" and not source.get("AttributeNames"):
        yield f"{path}.AttributeNames: expected one or more with AugmentedManifestFile, found none"
    if kind != "AugmentedManifestFile" and source.get("AttributeNames"):
        yield f"{path}.AttributeNames: expected with AugmentedManifestFile only, found {kind}"
    if kind != "S3Prefix" and uri.endswith("/"):
        yield f"{path}.S3Uri: expected the object that holds the list, found the prefix {show(uri)}"


def _group_faults(named: list[str], groups: Collection[str], path: str) -> Iterator[str]:
    known = sorted(name for name in groups if name)
    for index, name in enumerate(named):
        if name not in known:
            found = f"one of ResourceConfig.InstanceGroups ({', '.join(known) or 'there are none'})"
            yield f"{path}.InstanceGroupNames[{index}]: expected {found}, found {show(name)}"


def _algorithm_faults(algorithm: dict[str, Any]) -> Iterator[str]:
    given = [name for name in ("TrainingImage", "AlgorithmName") if name in algorithm]
    if len(given) != 1:
        yield f"AlgorithmSpecification.TrainingImage: expected it or AlgorithmName, found {len(given)} of the two"


def instances_by_group(resources: dict[str, Any]) -> dict[str, int]:
    """Return the number of instances of each group by its name; the empty name has the number of all instances."""
    groups = {group["InstanceGroupName"]: group["InstanceCount"] for group in resources.get("InstanceGroups", [])}
    return {**groups, "": sum(groups.values()) if groups else resources.get("InstanceCount", 0)}


def _resource_faults(resources: dict[str, Any]) -> Iterator[str]:
    groups = resources.get("InstanceGroups", [])
    for name in ("InstanceType", "InstanceCount"):
        if groups and name in resources:
            yield f"ResourceConfig.{name}: expected none beside InstanceGroups, found {show(resources[name])}"
        elif not groups and name not in resources:
            yield f"ResourceConfig.{name}: expected a value, or InstanceGroups; found none"
    types = [resources.get("InstanceType", ""), *(group.get("InstanceType", "") for group in groups)]
    with_disks = next((name for name in types if has_own_disks(name)), None)
    if with_disks and "VolumeKmsKeyId" in resources:
        yield (
            f"ResourceConfig.VolumeKmsKeyId: expected none with {with_disks}, whose own disks encrypt themselves, "
            f"found {show(resources['VolumeKmsKeyId'])}"
        )
    if resources.get("InstanceCount") == 0:
        yield "ResourceConfig.InstanceCount: expected at least 1, found 0"
    for name, count in Counter(group["InstanceGroupName"] for group in groups).items():
        if count > 1:
            yield f"ResourceConfig.InstanceGroups: expected each name once, found {name!r} {count} times"
    for index, group in enumerate(groups):
        if group["InstanceCount"] == 0:
            yield f"ResourceConfig.InstanceGroups[{index}].InstanceCount: expected at least 1, found 0"


def _stopping_faults(request: dict[str, Any]) -> Iterator[str]:
    condition = request.get("StoppingCondition", {})
    wait, run = condition.get("MaxWaitTimeInSeconds"), condition.get("MaxRuntimeInSeconds")
    is_spot = request.get("EnableManagedSpotTraining", False)
    path = "StoppingCondition.MaxWaitTimeInSeconds"
    if is_spot and wait is None:
        yield f"{path}: expected a value with EnableManagedSpotTraining, found none"
    if not is_spot and wait is not None:
        yield f"{path}: expected with EnableManagedSpotTraining only, found {wait}"
    if is_spot and run is None:
        yield "StoppingCondition.MaxRuntimeInSeconds: expected a value with EnableManagedSpotTraining, found none"
    if wait is not None and run is not None and wait < run:
        yield f"{path}: expected at least MaxRuntimeInSeconds ({run}), found {wait}"


def _warm_pool_faults(request: dict[str, Any]) -> Iterator[str]:
    """Check that instances are kept for the next job only if all are of one kind and none is a spot instance."""
    resources = request["ResourceConfig"]
    if not resources.get("KeepAlivePeriodInSeconds"):
        return
    for name, is_there in (
        ("EnableManagedSpotTraining", request.get("EnableManagedSpotTraining")),
        ("InstanceGroups", resources.get("InstanceGroups")),
    ):
        if is_there:
            yield f"ResourceConfig.KeepAlivePeriodInSeconds: expected none with {name}, which has no warm pool"


def _tag_faults(tags: list[dict[str, str]]) -> Iterator[str]:
    keys = [tag["Key"] for tag in tags]
    for index, key in enumerate(keys):
        if key.lower().startswith("aws:"):
            yield f"Tags[{index}].Key: expected no name of AWS's own (aws:), found {show(key)}"
        if key in keys[:index]:
            yield f"Tags[{index}].Key: expected each name once, found {show(key)} again"


def _metric_faults(metrics: list[dict[str, str]]) -> Iterator[str]:
    for name, count in Counter(metric["Name"] for metric in metrics).items():
        if count > 1:
            yield f"AlgorithmSpecification.MetricDefinitions: expected each name once, found {name!r} {count} times"


def _distribution_faults(request: dict[str, Any]) -> Iterator[str]:
    """Check that the instance groups on which MPI starts exist."""
    named = request.get("HyperParameters", {}).get(_MPI_GROUPS)
    if named is None:
        return
    known = {group["InstanceGroupName"] for group in request.get("ResourceConfig", {}).get("InstanceGroups", [])}
    for name in re.findall(r'"([^"]*)"', named):
        if name not in known:
            yield f"HyperParameters['{_MPI_GROUPS}']: expected names of ResourceConfig.InstanceGroups, found {name!r}"


def _network_faults(request: dict[str, Any]) -> Iterator[str]:
    sources = [channel["DataSource"] for channel in request.get("InputDataConfig", [])]
    if any("FileSystemDataSource" in source for source in sources) and "VpcConfig" not in request:
        yield "VpcConfig: expected the network of the file system that a channel is read from, found none"
