"""A training job as Python source for version 2 of SageMaker's Python SDK, from a CreateTrainingJob request."""

from __future__ import annotations

import pprint
from typing import Any

from packer.errors import OptionsError

_HEAD = '''"""Starts a training job with version 2 of SageMaker's Python SDK. Made by `shardpack sagemaker`."""

from sagemaker.estimator import Estimator
from sagemaker.inputs import {imports}
{more_imports}

def make_inputs():
    """Return the channels of the job by name."""
    return {inputs}


def make_estimator(**settings):
    """Return what starts the job; `settings` are further arguments of Estimator, such as sagemaker_session."""
    return Estimator(
{arguments}
        **settings,
    )


if __name__ == "__main__":
    make_estimator().fit(make_inputs(), job_name={job_name!r})
'''
_WIDTH = 110


def format_sdk2_source(job: dict[str, Any]) -> str:
    """Return the text of a Python file which starts `job`, a CreateTrainingJob request of `build_job`.

    Raises:
        OptionsError: this version of the SDK has no argument for a member of the request.
    """
    if "MaxPendingTimeInSeconds" in job["StoppingCondition"]:
        raise OptionsError("expected without `sdk_version=2`, which has no such argument", field="max_pending_s")
    channels = job["InputDataConfig"]
    uses_files = any("FileSystemDataSource" in channel["DataSource"] for channel in channels)
    inputs = "\n".join(f"        {channel['ChannelName']!r}: {_input(channel)}," for channel in channels)
    groups = job["ResourceConfig"].get("InstanceGroups", [])
    return _HEAD.format(
        imports="FileSystemInput" if uses_files else "ShuffleConfig, TrainingInput",
        more_imports="from sagemaker.instance_group import InstanceGroup\n" if groups else "",
        inputs="{\n" + inputs + "\n    }",
        arguments="\n".join(f"        {name}={text}," for name, text in _arguments(job).items()),
        job_name=job["TrainingJobName"],
    )


def _input(channel: dict[str, Any]) -> str:
    source = channel["DataSource"].get("FileSystemDataSource")
    if source is not None:
        values = {
            "file_system_id": source["FileSystemId"],
            "file_system_type": source["FileSystemType"],
            "directory_path": source["DirectoryPath"],
            "file_system_access_mode": source["FileSystemAccessMode"],
        }
        return _call("FileSystemInput", values)
    source = channel["DataSource"]["S3DataSource"]
    values = {
        "s3_data": source["S3Uri"],
        "s3_data_type": source["S3DataType"],
        "distribution": source["S3DataDistributionType"],
        "input_mode": channel["InputMode"],
        "compression": channel.get("CompressionType"),
        "record_wrapping": channel.get("RecordWrapperType"),
        "instance_groups": source.get("InstanceGroupNames"),
    }
    shuffle = (
        [f"shuffle_config=ShuffleConfig({channel['ShuffleConfig']['Seed']})"] if "ShuffleConfig" in channel else []
    )
    return _call("TrainingInput", values, *shuffle)


def _call(name: str, values: dict[str, Any], *more: str) -> str:
    arguments = [f"{argument}={value!r}" for argument, value in values.items() if value is not None]
    return f"{name}(\n            " + ",\n            ".join((*arguments, *more)) + ",\n        )"


def _arguments(job: dict[str, Any]) -> dict[str, str]:
    """Return the arguments of Estimator as source."""
    algorithm, resources, network = job["AlgorithmSpecification"], job["ResourceConfig"], job.get("VpcConfig", {})
    checkpoints, stopping = job.get("CheckpointConfig", {}), job["StoppingCondition"]
    values: dict[str, Any] = {
        "image_uri": algorithm["TrainingImage"],
        "role": job["RoleArn"],
        "instance_count": resources.get("InstanceCount"),
        "instance_type": resources.get("InstanceType"),
        "volume_size": resources["VolumeSizeInGB"],
        "input_mode": algorithm["TrainingInputMode"],
        "keep_alive_period_in_seconds": resources.get("KeepAlivePeriodInSeconds"),
        "volume_kms_key": resources.get("VolumeKmsKeyId"),
        "output_path": job["OutputDataConfig"]["S3OutputPath"],
        "output_kms_key": job["OutputDataConfig"].get("KmsKeyId"),
        "max_run": stopping["MaxRuntimeInSeconds"],
        "use_spot_instances": job.get("EnableManagedSpotTraining"),
        "max_wait": stopping.get("MaxWaitTimeInSeconds"),
        "debugger_hook_config": False,
        "disable_profiler": True,
        "checkpoint_s3_uri": checkpoints.get("S3Uri"),
        "checkpoint_local_path": checkpoints.get("LocalPath"),
        "subnets": network.get("Subnets"),
        "security_group_ids": network.get("SecurityGroupIds"),
        "enable_network_isolation": job.get("EnableNetworkIsolation"),
        "encrypt_inter_container_traffic": job.get("EnableInterContainerTrafficEncryption"),
        "max_retry_attempts": job.get("RetryStrategy", {}).get("MaximumRetryAttempts"),
        "tags": job.get("Tags"),
        "environment": job.get("Environment"),
        "metric_definitions": algorithm["MetricDefinitions"],
        "hyperparameters": job["HyperParameters"],
    }
    source = {name: _indented(value) for name, value in values.items() if value is not None}
    if "InstanceGroups" in resources:
        groups = [
            f"InstanceGroup({group['InstanceGroupName']!r}, {group['InstanceType']!r}, {group['InstanceCount']})"
            for group in resources["InstanceGroups"]
        ]
        source["instance_groups"] = f"[{', '.join(groups)}]"
    return source


def _indented(value: object) -> str:
    return pprint.pformat(value, width=_WIDTH, sort_dicts=False).replace("\n", "\n        ")
