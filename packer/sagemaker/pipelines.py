"""A definition for SageMaker Pipelines: pack -> train -> evaluate -> is it good enough? -> register the model.

Each execution packs into a prefix of its own, named by the execution, so executions never meet and a step that is
tried again goes on with its own data set. A text with `${Execution.PipelineExecutionId}` in it stands for that while
the definition is made and checked, and becomes a Std:Join in the end. Format: schema version 2020-12-01.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from packer.errors import OptionsError
from packer.sagemaker.instance_types import has_own_disks
from packer.sagemaker.pipeline_rules import VERSION, pipeline_faults

EXECUTION = "${Execution.PipelineExecutionId}"
ACCURACY_PATH = "evaluation.accuracy"
"""Of the document that the trainer writes with `evaluate_only=True`."""
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9.\[\]'_-]+)\}")
_REGISTRY = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com")
_MODEL_FOLDER = "/opt/ml/processing/model"
_METRICS_FOLDER = "/opt/ml/processing/metrics"
_METRICS_NAME = "metrics"
_MAX_RUN_S = 86_400
_UNTRAINED = ("data", "export", "metrics", "model-dir", "eval-split")
"""Options of the trainer that evaluation has its own of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """What a pipeline is, beside its training job."""

    pack_image: str
    """Image of `docker/pack.Dockerfile`."""
    pack_arguments: tuple[str, ...]
    """Of `shardpack`, to pack into `dataset`."""
    dataset: str
    """Where an execution packs to."""
    instance_type: str
    """Of the instance that packs, and of the one that evaluates."""
    volume_gb: int
    eval_split: str
    min_accuracy: float
    """In [0, 1], that a model must have."""
    model_package_group: str = ""
    """Where a good model is registered; empty for nowhere."""

    def __post_init__(self) -> None:
        if not self.eval_split:
            raise OptionsError(
                "expected a data set with a split to evaluate, such as val, found none", field="pipeline"
            )
        if not 0 <= self.min_accuracy <= 1:
            raise OptionsError(f"expected a share from 0 to 1, got {self.min_accuracy:g}", field="min_accuracy")
        if not self.pack_image:
            raise OptionsError("expected the image that packs in a pipeline, got none", field="pack_image")


def build_pipeline(spec: PipelineSpec, job: dict[str, Any]) -> dict[str, Any]:
    """Return the definition of a pipeline whose training step is `job`, a CreateTrainingJob request with checkpoints.

    Raises:
        OptionsError: SageMaker would not take it, or the job keeps no checkpoints.
    """
    if "CheckpointConfig" not in job:
        raise OptionsError(
            "expected a place for the checkpoints that a pipeline evaluates, got none", field="checkpoint"
        )
    definition = {
        "Version": VERSION,
        "Metadata": {},
        "Parameters": [{"Name": "MinAccuracy", "Type": "Float", "DefaultValue": spec.min_accuracy}],
        "Steps": [
            _step("Pack", "Processing", _packing(spec, job)),
            _step("Train", "Training", _training(job), after="Pack"),
            {
                **_step("Evaluate", "Processing", _evaluating(spec, job), after="Train"),
                "PropertyFiles": [_METRICS_FILE],
            },
            _deciding(spec, job),
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


def _processing(spec: PipelineSpec, job: dict[str, Any], image: str) -> dict[str, Any]:
    """Return what the requests of both processing steps have, by the role and in the network of the training job."""
    cluster: dict[str, Any] = {"InstanceType": spec.instance_type, "InstanceCount": 1, "VolumeSizeInGB": spec.volume_gb}
    key = job["OutputDataConfig"].get("KmsKeyId")
    if key and not has_own_disks(spec.instance_type):
        cluster["VolumeKmsKeyId"] = key
    request = {
        "ProcessingResources": {"ClusterConfig": cluster},
        "AppSpecification": {"ImageUri": image},
        "RoleArn": job["RoleArn"],
        "StoppingCondition": {"MaxRuntimeInSeconds": _MAX_RUN_S},
    }
    # Isolation is of the training step alone: these containers read and write buckets themselves.
    network = {name: job[name] for name in ("VpcConfig", "EnableInterContainerTrafficEncryption") if name in job}
    registry = _REGISTRY.match(image)
    # A processing container is not told its Region in the variable that boto3 reads.
    region = {} if registry is None else {"AWS_DEFAULT_REGION": registry[1]}
    more = {"NetworkConfig": network, "Environment": {**region, **job.get("Environment", {})}, "Tags": job.get("Tags")}
    return {**request, **{name: value for name, value in more.items() if value}}


def _packing(spec: PipelineSpec, job: dict[str, Any]) -> dict[str, Any]:
    request = _processing(spec, job, spec.pack_image)
    request["AppSpecification"] |= {
        "ContainerEntrypoint": ["shardpack"],
        "ContainerArguments": list(spec.pack_arguments),
    }
    return request


def _training(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name != "TrainingJobName"}


def _evaluating(spec: PipelineSpec, job: dict[str, Any]) -> dict[str, Any]:
    request = _processing(spec, job, job["AlgorithmSpecification"]["TrainingImage"])
    options = {
        "data": spec.dataset,
        "model-dir": _MODEL_FOLDER,
        "eval-split": spec.eval_split,
        "metrics": f"{_METRICS_FOLDER}/metrics.json",
        **_trainer_options(job["HyperParameters"]),
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    request["AppSpecification"] |= {
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


def _trainer_options(hyperparameters: dict[str, str]) -> dict[str, str]:
    """Return the trainer's options as a command line has them, but those that evaluation has its own of."""
    values = {
        name: msgspec.json.decode(text)
        for name, text in hyperparameters.items()
        if not name.startswith("sagemaker_") and name not in _UNTRAINED
    }
    return {name: value if isinstance(value, str) else hyperparameters[name] for name, value in values.items()}


def _deciding(spec: PipelineSpec, job: dict[str, Any]) -> dict[str, Any]:
    accuracy = {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Metrics"}, "Path": ACCURACY_PATH}
    condition = {
        "Type": "GreaterThanOrEqualTo",
        "LeftValue": {"Std:JsonGet": accuracy},
        "RightValue": {"Get": "Parameters.MinAccuracy"},
    }
    message = "The model's accuracy on the evaluation split is below ${Parameters.MinAccuracy}"
    arguments = {
        "Conditions": [condition],
        "IfSteps": [_step("Register", "RegisterModel", _registering(spec, job))] if spec.model_package_group else [],
        "ElseSteps": [_step("TooLow", "Fail", {"ErrorMessage": message})],
    }
    return _step("IsGoodEnough", "Condition", arguments, after="Evaluate")


def _registering(spec: PipelineSpec, job: dict[str, Any]) -> dict[str, Any]:
    container = {
        "Image": job["AlgorithmSpecification"]["TrainingImage"],
        "ModelDataUrl": "${Steps.Train.ModelArtifacts.S3ModelArtifacts}",
    }
    return {
        "ModelPackageGroupName": spec.model_package_group,
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    }


def _refer(value: Any) -> Any:
    """Return a value in which texts with `${...}` are references to what is known when the pipeline runs."""
    if isinstance(value, dict):
        return {name: _refer(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_refer(item) for item in value]
    if not isinstance(value, str) or not _REFERENCE.search(value):
        return value
    texts = _REFERENCE.split(value)  # text, name, text, name, ..., text
    parts = [{"Get": text} if index % 2 else text for index, text in enumerate(texts) if text]
    return parts[0] if len(parts) == 1 else {"Std:Join": {"On": "", "Values": parts}}
