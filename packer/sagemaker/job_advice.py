"""Advice on training jobs that SageMaker takes although they would waste money or lose data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from packer.sagemaker.house_rules import training_job_departures
from packer.sagemaker.instance_types import num_gpus
from packer.sagemaker.validation import request_faults, show

_RANKS = "sagemaker_mpi_num_of_processes_per_host"
_MPI_GROUPS = "sagemaker_distribution_instance_groups"
_FOR_CPUS = re.compile(r"(?:^|[^a-z0-9])cpu(?:[^a-z]|$)")
_SECRET_NAMES = re.compile(r"secret|password|passwd|token$|api_?-?key|access_?-?key", re.IGNORECASE)
_SECRET_VALUES = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----")


def training_job_advice(request: Any) -> list[str]:
    """Return advice on a CreateTrainingJob request; each text begins with the field.

    Returns nothing for a request that is not well-formed.
    """
    if any(request_faults("CreateTrainingJob", request)):
        return []
    channels = request.get("InputDataConfig", [])
    job_mode = request.get("AlgorithmSpecification", {}).get("TrainingInputMode", "File")
    return [
        *training_job_departures(request),
        *_pipe_advice(channels, job_mode, request.get("HyperParameters", {})),
        *_shuffle_advice(channels, job_mode),
        *_gpu_advice(request),
        *_image_advice(request),
        *_secret_advice(request.get("HyperParameters", {}), "HyperParameters"),
        *_secret_advice(request.get("Environment", {}), "Environment"),
        *_spot_advice(request),
    ]


def _pipe_advice(channels: list[dict[str, Any]], job_mode: str, hyperparameters: Mapping[str, str]) -> Iterator[str]:
    """Compare the Pipe channels of a split, such as train0 and train1, with the ranks of an instance."""
    ranks = _number(hyperparameters.get(_RANKS))
    pipes = [channel["ChannelName"] for channel in channels if channel.get("InputMode", job_mode) == "Pipe"]
    numbered: dict[str, set[int]] = {}
    for match in (re.fullmatch(r"(.*?)(\d+)", name) for name in pipes):
        if match is not None:
            numbered.setdefault(match[1], set()).add(int(match[2]))
    for base, numbers in numbered.items():
        if ranks is not None and numbers != set(range(ranks)):
            yield (
                f"HyperParameters['{_RANKS}']: expected as many ranks on an instance as there are Pipe channels "
                f"{base}0, {base}1 ..., found {ranks} ranks and {', '.join(f'{base}{n}' for n in sorted(numbers))}: a "
                "Pipe is read by one process, and one that nobody reads ends the job"
            )


def _shuffle_advice(channels: list[dict[str, Any]], job_mode: str) -> Iterator[str]:
    for index, channel in enumerate(channels):
        if "ShuffleConfig" in channel and channel.get("InputMode", job_mode) == "FastFile":
            yield (
                f"InputDataConfig[{index}].ShuffleConfig: expected none with InputMode FastFile, which shows files by "
                "their names, in no order that could be shuffled"
            )


def _gpu_advice(request: dict[str, Any]) -> Iterator[str]:
    ranks = _number(request.get("HyperParameters", {}).get(_RANKS))
    if ranks is None:
        return
    for name in _training_types(request):
        gpus = num_gpus(name)
        if gpus and ranks != gpus:
            what = "two ranks would share one" if ranks > gpus else "some would idle"
            yield f"HyperParameters['{_RANKS}']: expected {gpus}, the GPUs of {name}, found {ranks}: {what}"


def _image_advice(request: dict[str, Any]) -> Iterator[str]:
    """Find images for CPUs by their names, which follow those of AWS's images (``2.8.0-cpu-py312-ubuntu22.04``)."""
    image = request.get("AlgorithmSpecification", {}).get("TrainingImage", "")
    name = next((name for name in _training_types(request) if num_gpus(name)), None)
    if name is not None and _FOR_CPUS.search(image.rpartition("/")[2]):
        yield (
            f"AlgorithmSpecification.TrainingImage: expected an image for GPUs on {name}, found {show(image)}: its "
            "GPUs would idle"
        )


def _training_types(request: dict[str, Any]) -> list[str]:
    """Return the types of the instances that ranks run on."""
    resources = request.get("ResourceConfig", {})
    named = request.get("HyperParameters", {}).get(_MPI_GROUPS)
    groups = [
        group.get("InstanceType", "")
        for group in resources.get("InstanceGroups", [])
        if named is None or f'"{group["InstanceGroupName"]}"' in named
    ]
    return [resources["InstanceType"]] if "InstanceType" in resources else groups


def _secret_advice(values: Mapping[str, str], path: str) -> Iterator[str]:
    for name, value in values.items():
        if _SECRET_VALUES.search(value) or (_SECRET_NAMES.search(name) and value.strip('"')):
            yield (
                f"{path}[{show(name)}]: expected no credentials, which all who may describe the job can read; let the "
                "job's role have the right, or read them from Secrets Manager"
            )


def _spot_advice(request: dict[str, Any]) -> Iterator[str]:
    if request.get("EnableManagedSpotTraining") and "CheckpointConfig" not in request:
        yield (
            "CheckpointConfig: expected a place for checkpoints with EnableManagedSpotTraining, found none: what was "
            "learnt is lost when instances are taken away"
        )


def _number(text: str | None) -> int | None:
    digits = (text or "").strip('"')
    return int(digits) if digits.isascii() and digits.isdigit() else None
