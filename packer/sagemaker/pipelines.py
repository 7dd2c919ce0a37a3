"""A definition for SageMaker Pipelines: pack -> train -> evaluate -> is it good enough? -> register the model.

The packed data set is named by the plan of the data set that the pipeline was made from. So a second execution finds
it and does not pack again. Checkpoints and metrics are named by the execution: executions do not share them, and a step
that is retried continues with its own. While a definition is being made, `${Execution.PipelineExecutionId}` in a text
stands for the execution; in the end such a text becomes a Std:Join. Format: schema version 2020-12-01.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from packer.errors import OptionsError
from packer.sagemaker.instance_types import has_own_disks
from packer.sagemaker.pipeline_parameters import (
    APPROVAL,
    MIN_ACCURACY,
    PACK_IMAGE,
    PROCESSING_TYPE,
    TRAIN_IMAGE,
    TRAIN_TYPE,
    hyperparameter_values,
    list_parameters,
    parameter_name,
    reference,
    text_parameter,
)
from packer.sagemaker.pipeline_rules import VERSION, pipeline_faults

EXECUTION = "${Execution.PipelineExecutionId}"
ACCURACY_PATH = "evaluation.accuracy"
"""Path of the accuracy in the document that the trainer writes with `evaluate_only=True`."""
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9.\[\]'_-]+)\}")
_REGISTRY = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com")
_MODEL_FOLDER = "/opt/ml/processing/model"
_METRICS_FOLDER = "/opt/ml/processing/metrics"
_METRICS_NAME = "metrics"
_MAX_RUN_S = 86_400
_UNTRAINED = ("data", "export", "metrics", "model-dir", "eval-split")
"""Options of the trainer for which the evaluation step has values of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """The settings of a pipeline, apart from its training job."""

    pack_image: str
    """URI of the image that `docker/pack.Dockerfile` builds."""
    pack_arguments: tuple[str, ...]
    """Arguments of `shardpack` that pack into `dataset`."""
    dataset: str
    """URI of the data set that executions pack."""
    pack_instances: int = 1
    """Instances that each pack a part; with more than one, a further step commits the data set."""
    cache_days: int = 30
    """Days after a successful packing step in which an equal step is skipped; 0: never skipped."""
    hyperparameters: tuple[str, ...] = ()
    """Names of the hyperparameters that are parameters of the pipeline."""
    instance_type: str
    """Type of the instances that pack and of the one that evaluates."""
    volume_gb: int
    eval_split: str
    min_accuracy: float
    """Least accuracy of a good model, in [0, 1]."""
    model_package_group: str = ""
    """Model package group that a good model is registered in; empty to register none."""
    inference_image: str = ""
    """URI of the image that serves the registered model."""

    def __post_init__(self) -> None:
        if not self.eval_split:
            raise OptionsError(
                "expected a data set with a split to evaluate, such as val, found none", field="pipeline"
            )
        if not 0 <= self.min_accuracy <= 1:
            raise OptionsError(f"expected a share from 0 to 1, got {self.min_accuracy:g}", field="min_accuracy")
        if not self.pack_image:
            raise OptionsError("expected the image that packs in a pipeline, got none", field="pack_image")
        if bool(self.inference_image) != bool(self.model_package_group):
            raise OptionsError(
                "expected together with `model_package_group`, got one of them: what is registered is a model and the "
                "image that serves it, and the image that trains serves none",
                field="inference_image",
            )


def build_pipeline(spec: PipelineSpec, job: dict[str, Any]) -> dict[str, Any]:
    """Return the definition of a pipeline whose training step is `job`, a CreateTrainingJob request with checkpoints.

    Raises:
        OptionsError: SageMaker would refuse the definition, or the job saves no checkpoints.
    """
    if "CheckpointConfig" not in job:
        raise OptionsError(
            "expected a place for the checkpoints that a pipeline evaluates, got none", field="checkpoint"
        )
    definition = {
        "Version": VERSION,
        "Metadata": {},
        "Parameters": _parameters(spec, job),
        "Steps": [
            *_packing_steps(spec, job),
            _job_step(
                "Train", "Training", _training(spec, job), after="Pack" if spec.pack_instances == 1 else "Commit"
            ),
            {
                **_job_step("Evaluate", "Processing", _evaluating(spec, job), after="Train"),
                "PropertyFiles": [_METRICS_FILE],
            },
            _deciding(spec),
        ],
    }
    with_references: dict[str, Any] = _refer(definition)
    faults = list(pipeline_faults(with_references))
    if faults:
        raise OptionsError(f"the pipeline: {faults[0]}")
    return with_references


_METRICS_FILE = {"PropertyFileName": "Metrics", "OutputName": _METRICS_NAME, "FilePath": "metrics.json"}


def _step(name: str, kind: str, arguments: dict[str, Any], *, after: str = "") -> dict[str, Any]:
    step: dict[str, Any] = {"Name": name, "Type": kind, "Arguments": arguments}
    return {**step, "DependsOn": [after]} if after else step


_RETRIES = [
    {
        "ExceptionType": ["Step.SERVICE_FAULT", "Step.THROTTLING"],
        "IntervalSeconds": 10,
        "BackoffRate": 2.0,
        "MaxAttempts": 5,
    },
    {
        "ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT"],
        "IntervalSeconds": 300,
        "BackoffRate": 1.5,
        "MaxAttempts": 8,
    },
]
"""Retries after failures on AWS's side: soon for a busy service, over hours for a lack of instances."""


def _job_step(name: str, kind: str, arguments: dict[str, Any], *, after: str = "") -> dict[str, Any]:
    return {**_step(name, kind, arguments, after=after), "RetryPolicies": _RETRIES}


def _parameters(spec: PipelineSpec, job: dict[str, Any]) -> list[dict[str, Any]]:
    own = list_parameters(
        job,
        spec.pack_image,
        spec.instance_type,
        min_accuracy=spec.min_accuracy,
        is_registered=bool(spec.model_package_group),
    )
    values = hyperparameter_values(job["HyperParameters"], spec.hyperparameters)
    return [*own, *(text_parameter(parameter_name(name), value) for name, value in values.items())]


def _packing_steps(spec: PipelineSpec, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the packing step; with several instances, each packs a part, and a second step commits the data set."""
    cache = {"CacheConfig": {"Enabled": True, "ExpireAfter": f"P{spec.cache_days}D"}} if spec.cache_days else {}
    pack = _packing(spec, job, spec.pack_arguments)
    if spec.pack_instances == 1:
        return [{**_job_step("Pack", "Processing", pack), **cache}]
    pack["AppSpecification"]["ContainerEntrypoint"] = ["python", "-m", "packer.cli.processing_host"]
    pack["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = spec.pack_instances
    commit = _packing(spec, job, ("commit", spec.dataset))
    return [
        {**_job_step("Pack", "Processing", pack), **cache},
        {**_job_step("Commit", "Processing", commit, after="Pack"), **cache},
    ]


def _processing(spec: PipelineSpec, job: dict[str, Any], image: str) -> dict[str, Any]:
    """Return the members that all processing requests share; role and network are those of the training job."""
    cluster: dict[str, Any] = {"InstanceType": reference(PROCESSING_TYPE), "InstanceCount": 1}
    cluster["VolumeSizeInGB"] = spec.volume_gb
    key = job["OutputDataConfig"].get("KmsKeyId")
    if key and not has_own_disks(spec.instance_type):
        cluster["VolumeKmsKeyId"] = key
    request = {
        "ProcessingResources": {"ClusterConfig": cluster},
        "AppSpecification": {"ImageUri": image},
        "RoleArn": job["RoleArn"],
        "StoppingCondition": {"MaxRuntimeInSeconds": _MAX_RUN_S},
    }
    # Network isolation applies only to the training step: these containers access buckets themselves.
    network = {name: job[name] for name in ("VpcConfig", "EnableInterContainerTrafficEncryption") if name in job}
    registry = _REGISTRY.match(image)
    # SageMaker does not set the variable from which boto3 reads the region in processing containers.
    region = {} if registry is None else {"AWS_DEFAULT_REGION": registry[1]}
    more = {"NetworkConfig": network, "Environment": {**region, **job.get("Environment", {})}, "Tags": job.get("Tags")}
    return {**request, **{name: value for name, value in more.items() if value}}


def _packing(spec: PipelineSpec, job: dict[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    request = _processing(spec, job, spec.pack_image)
    request["AppSpecification"] = {
        "ImageUri": reference(PACK_IMAGE),
        "ContainerEntrypoint": ["shardpack"],
        "ContainerArguments": list(arguments),
    }
    return request


def _training(spec: PipelineSpec, job: dict[str, Any]) -> dict[str, Any]:
    request = {name: value for name, value in job.items() if name != "TrainingJobName"}
    request["AlgorithmSpecification"] = {**job["AlgorithmSpecification"], "TrainingImage": reference(TRAIN_IMAGE)}
    request["HyperParameters"] = {
        **job["HyperParameters"],
        **{name: reference(parameter_name(name)) for name in spec.hyperparameters},
    }
    if "InstanceType" in job["ResourceConfig"]:
        request["ResourceConfig"] = {**job["ResourceConfig"], "InstanceType": reference(TRAIN_TYPE)}
    return request


def _evaluating(spec: PipelineSpec, job: dict[str, Any]) -> dict[str, Any]:
    request = _processing(spec, job, job["AlgorithmSpecification"]["TrainingImage"])
    options = {
        "data": spec.dataset,
        "model-dir": _MODEL_FOLDER,
        "eval-split": spec.eval_split,
        "metrics": f"{_METRICS_FOLDER}/metrics.json",
        **_trainer_options(job["HyperParameters"]),
        **{name: reference(parameter_name(name)) for name in spec.hyperparameters if _is_of_evaluation(name)},
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    request["AppSpecification"] = {
        "ImageUri": reference(TRAIN_IMAGE),
        "ContainerEntrypoint": ["python", "-m", "packer.trainer"],
        "ContainerArguments": ["--evaluate-only", *arguments],
    }
    checkpoints = {
        "S3Uri": job["CheckpointConfig"]["S3Uri"],
        "LocalPath": _MODEL_FOLDER,
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
    }
    metrics = {
        "S3Uri": f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{EXECUTION}/metrics",
        "LocalPath": _METRICS_FOLDER,
        "S3UploadMode": "EndOfJob",
    }
    request["ProcessingInputs"] = [{"InputName": "checkpoints", "S3Input": checkpoints}]
    request["ProcessingOutputConfig"] = {"Outputs": [{"OutputName": _METRICS_NAME, "S3Output": metrics}]}
    if "KmsKeyId" in job["OutputDataConfig"]:
        request["ProcessingOutputConfig"]["KmsKeyId"] = job["OutputDataConfig"]["KmsKeyId"]
    return request


def _is_of_evaluation(hyperparameter: str) -> bool:
    """Say whether the evaluation step takes an option from training. It runs alone, without data hosts."""
    return not hyperparameter.startswith(("sagemaker_", "feed")) and hyperparameter not in _UNTRAINED


def _trainer_options(hyperparameters: dict[str, str]) -> dict[str, str]:
    """Return the trainer's options as command-line texts, without those for which evaluation has its own values."""
    values = {name: msgspec.json.decode(text) for name, text in hyperparameters.items() if _is_of_evaluation(name)}
    return {name: value if isinstance(value, str) else hyperparameters[name] for name, value in values.items()}


def _deciding(spec: PipelineSpec) -> dict[str, Any]:
    accuracy = {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Metrics"}, "Path": ACCURACY_PATH}
    condition = {
        "Type": "GreaterThanOrEqualTo",
        "LeftValue": {"Std:JsonGet": accuracy},
        "RightValue": reference(MIN_ACCURACY),
    }
    message = "The model's accuracy on the evaluation split is below ${Parameters.MinAccuracy}"
    arguments = {
        "Conditions": [condition],
        "IfSteps": [_step("Register", "RegisterModel", _registering(spec))] if spec.model_package_group else [],
        "ElseSteps": [_step("TooLow", "Fail", {"ErrorMessage": message})],
    }
    return _step("IsGoodEnough", "Condition", arguments, after="Evaluate")


def _registering(spec: PipelineSpec) -> dict[str, Any]:
    container = {
        "Image": spec.inference_image,
        "ModelDataUrl": "${Steps.Train.ModelArtifacts.S3ModelArtifacts}",
    }
    return {
        "ModelPackageGroupName": spec.model_package_group,
        "ModelApprovalStatus": reference(APPROVAL),
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    }


def _refer(value: Any) -> Any:
    """Return a value in which references replace `${...}` in texts; they are resolved when the pipeline runs."""
    if isinstance(value, dict):
        return {name: _refer(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_refer(item) for item in value]
    if not isinstance(value, str) or not _REFERENCE.search(value):
        return value
    texts = _REFERENCE.split(value)  # text, name, text, name, ..., text
    parts = [{"Get": text} if index % 2 else text for index, text in enumerate(texts) if text]
    return parts[0] if len(parts) == 1 else {"Std:Join": {"On": "", "Values": parts}}
