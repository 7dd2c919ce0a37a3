"""A training job as Python source for version 3 of SageMaker's Python SDK, from a CreateTrainingJob request.

ModelTrainer gets neither `source_code` nor `distributed`. With them it would start programs of its own, whose MPI
starts in total only as many processes as were requested for each instance. Without them, SageMaker starts the image
as it is, and the toolkit in the image starts MPI according to the hyperparameters.
"""

from __future__ import annotations

import re
from typing import Any

from packer.errors import OptionsError

_HEAD = '''"""Starts a training job with version 3 of SageMaker's Python SDK. Made by `shardpack sagemaker`."""

from sagemaker.core import shapes
from sagemaker.core.training.configs import Compute, Networking
from sagemaker.train import ModelTrainer


def make_channels():
    """Return the channels of the job."""
    return {channels}


def make_trainer(**settings):
    """Return what starts the job; `settings` are further arguments of ModelTrainer, such as sagemaker_session."""
    trainer = ModelTrainer(
{arguments}
        **settings,
    )
    trainer.with_metric_definitions({metrics})
{retries}    return trainer


if __name__ == "__main__":
    make_trainer().train(make_channels())
'''
_STEP = 4
_MAX_COLUMNS = 110
_NAMES = {
    "Channel": "Channel",
    "DataSource": "DataSource",
    "S3DataSource": "S3DataSource",
    "FileSystemDataSource": "FileSystemDataSource",
    "ShuffleConfig": "ShuffleConfig",
    "InstanceGroups": "InstanceGroup",
    "MetricDefinitions": "MetricDefinition",
    "Tags": "Tag",
}
"""Members whose values are objects or lists of objects, each with the class in `shapes` for such an object."""


def format_sdk3_source(job: dict[str, Any]) -> str:
    """Return the text of a Python file which starts `job`, a CreateTrainingJob request of `build_job`.

    The SDK appends the time to the job's name, so the file can be run again.

    Raises:
        OptionsError: this version of the SDK would drop a member of the request.
    """
    _check_nothing_is_left_out(job)
    algorithm = job["AlgorithmSpecification"]
    retries = job.get("RetryStrategy")
    return _HEAD.format(
        channels=_list("Channel", job["InputDataConfig"], _STEP),
        arguments="\n".join(f"        {name}={text}," for name, text in _arguments(job).items()),
        metrics=_list("MetricDefinitions", algorithm["MetricDefinitions"], _STEP),
        retries=f"    trainer.with_retry_strategy({_call('shapes.RetryStrategy', retries, _STEP)})\n"
        if retries
        else "",
    )


def _check_nothing_is_left_out(job: dict[str, Any]) -> None:
    """Refuse values that this version drops: a seed of 0 and empty tags. Raises OptionsError."""
    seeds = [channel["ShuffleConfig"]["Seed"] for channel in job["InputDataConfig"] if "ShuffleConfig" in channel]
    if 0 in seeds:
        raise OptionsError("expected another than 0 with `sdk_version=3`, which leaves it out", field="shuffle_seed")
    empty = next((tag["Key"] for tag in job.get("Tags", []) if not tag["Value"]), None)
    if empty is not None:
        raise OptionsError(f"expected a value for {empty} with `sdk_version=3`, which leaves it out", field="job_tag")


def _arguments(job: dict[str, Any]) -> dict[str, str]:
    """Return the arguments of ModelTrainer as source."""
    column = 2 * _STEP
    isolation = {
        name: job[name] for name in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption") if name in job
    }
    networking = {**job.get("VpcConfig", {}), **isolation}
    spot = {name: job[name] for name in ("EnableManagedSpotTraining",) if name in job}
    calls = {
        "compute": ("Compute", {**job["ResourceConfig"], **spot}),
        "networking": ("Networking", networking),
        "stopping_condition": ("shapes.StoppingCondition", job["StoppingCondition"]),
        "output_data_config": ("shapes.OutputDataConfig", job["OutputDataConfig"]),
        "checkpoint_config": ("shapes.CheckpointConfig", job.get("CheckpointConfig")),
    }
    plain = {
        "training_image": job["AlgorithmSpecification"]["TrainingImage"],
        "training_input_mode": job["AlgorithmSpecification"]["TrainingInputMode"],
        "role": job["RoleArn"],
        "base_job_name": job["TrainingJobName"],
    }
    dictionaries = {"environment": job.get("Environment"), "hyperparameters": job["HyperParameters"]}
    tags = {"tags": _list("Tags", job["Tags"], column)} if "Tags" in job else {}
    return {
        **{name: repr(value) for name, value in plain.items()},
        **{name: _call(call, values, column) for name, (call, values) in calls.items() if values},
        **tags,
        **{name: _dictionary(values, column) for name, values in dictionaries.items() if values},
    }


def _call(name: str, members: dict[str, Any], column: int) -> str:
    """Return the source of a call that makes an object with these members."""
    return _wrapped(f"{name}(", [_argument(*member, column + _STEP) for member in members.items()], ")", column)


def _argument(name: str, value: Any, column: int) -> str:
    if name not in _NAMES:
        return f"{_snake(name)}={value!r}"
    text = _list(name, value, column) if isinstance(value, list) else _call(f"shapes.{_NAMES[name]}", value, column)
    return f"{_snake(name)}={text}"


def _list(name: str, values: list[dict[str, Any]], column: int) -> str:
    return _wrapped("[", [_call(f"shapes.{_NAMES[name]}", value, column + _STEP) for value in values], "]", column)


def _dictionary(values: dict[str, str], column: int) -> str:
    return _wrapped("{", [f"{name!r}: {value!r}" for name, value in values.items()], "}", column)


def _wrapped(start: str, parts: list[str], end: str, column: int) -> str:
    """Return the parts in one line if it is short enough, otherwise each part in its own line."""
    line = f"{start}{', '.join(parts)}{end}"
    if column + len(line) <= _MAX_COLUMNS and "\n" not in line:
        return line
    indent = " " * (column + _STEP)
    return start + "".join(f"\n{indent}{part}," for part in parts) + f"\n{' ' * column}{end}"


def _snake(name: str) -> str:
    """Return the SDK's name of a member: ``volume_size_in_gb`` for ``VolumeSizeInGB``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
