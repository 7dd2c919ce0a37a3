"""A whole CreateTrainingJob request for the trainer in `docker/train.Dockerfile`, or one that starts the same way.

SageMaker starts the image. SageMaker's training toolkit in the image reads the hyperparameters, starts MPI over the
instances and runs `train.py` on each rank. Hyperparameters are JSON texts: SageMaker's SDK writes them in this form,
and the toolkit reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan, Cluster
from packer.channels.instance_groups import ONE_KIND, JobGroups
from packer.errors import OptionsError
from packer.parsing import as_json_text
from packer.sagemaker.house_rules import training_job_departures
from packer.sagemaker.input_data import DataPlace, build_channels
from packer.sagemaker.instance_types import has_own_disks
from packer.sagemaker.job_settings import NO_SETTINGS, JobSettings
from packer.sagemaker.rules import training_job_faults
from packer.specs import is_training_split

CHECKPOINT_FOLDER = "/opt/ml/checkpoints"
"""SageMaker copies this folder to and from S3 while a job runs."""
MODEL_FOLDER = "/opt/ml/model"
"""SageMaker packs this folder into model.tar.gz when a job succeeds."""
METRICS_FILE = "/opt/ml/output/data/metrics.json"
"""SageMaker packs this file into output.tar.gz when a job ends."""
PROGRAM = "train.py"
PROGRAM_FOLDER = "/opt/shardpack"
_USUAL_EVALUATION = ("val", "validation")
_MPI_OPTIONS = "-mca odls_base_sigkill_timeout 20"
"""Seconds that ranks get from SIGTERM to SIGKILL. This package's trainer ends at once; others may have to clean up.

Open MPI waits twice as long, even if the ranks are gone, and SageMaker gives the container 120 seconds.
"""
_EPOCH = r"rank 0/\d+ epoch \d+/\d+ steps \d+ loss "
_NUMBER = r"(-?(?:[0-9.]+|inf|nan))"
"""Also matches inf and nan, which a diverging training prints and which its graphs should show."""
METRIC_DEFINITIONS = (
    ("train:loss", f"{_EPOCH}{_NUMBER} images/s"),
    ("train:images_per_second", rf"{_EPOCH}\S+ images/s {_NUMBER}"),
    ("validation:loss", rf"{_EPOCH}\S+ images/s \S+ eval steps \d+ loss {_NUMBER} accuracy"),
    ("validation:accuracy", rf"{_EPOCH}\S+ images/s \S+ eval steps \d+ loss \S+ accuracy {_NUMBER}"),
)
"""Names of metrics, with regular expressions for the lines that rank 0 of the trainer prints after each epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """The settings of a training job, apart from its data."""

    name: str
    image: str
    role: str
    output: str
    """``s3://...`` prefix for the job's output."""
    instance_type: str = ""
    """Instance type of a cluster of one kind."""
    groups: JobGroups = ONE_KIND
    """Instance groups of a heterogeneous cluster."""
    volume_gb: int = 100
    max_run_s: int = 86_400
    max_wait_s: int = 0
    """Seconds that waiting for spot capacity and the run may take together; 0 without spot capacity."""
    checkpoint: str = ""
    """``s3://...`` prefix for checkpoints; empty for none."""
    hyperparameters: tuple[tuple[str, str], ...] = ()
    """Names and values of the trainer's options; a value is JSON, or a plain text."""
    kms_key: str = ""
    """Key that encrypts the job's output and disks; if empty, the bucket's and SageMaker's own keys do."""
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    settings: JobSettings = NO_SETTINGS

    def __post_init__(self) -> None:
        if bool(self.instance_type) == bool(self.groups.groups):
            raise OptionsError(
                "expected either it or `instance_group`, got both or none of them", field="instance_type"
            )
        if bool(self.subnets) != bool(self.security_groups):
            raise OptionsError("expected together with `security_groups`, got one of them", field="subnets")
        if self.max_wait_s and self.max_wait_s < self.max_run_s:
            raise OptionsError(
                f"expected at least `max_run_s` ({self.max_run_s}), got {self.max_wait_s}", field="max_wait_s"
            )
        for name in ("image", "role", "output"):
            if not getattr(self, name):
                raise OptionsError("expected a value for a training job, got none", field=name)


def build_job(spec: JobSpec, plans: Sequence[ChannelPlan], place: DataPlace, cluster: Cluster) -> dict[str, Any]:
    """Return a CreateTrainingJob request.

    Raises:
        OptionsError: SageMaker would refuse the request; the text names the field.
    """
    mode = next(plan.mode for plan in plans)
    request: dict[str, Any] = {
        "TrainingJobName": spec.name,
        "AlgorithmSpecification": {
            "TrainingImage": spec.image,
            "TrainingInputMode": (InputMode.FILE if mode is InputMode.FILE_SYSTEM else mode).value,
            "MetricDefinitions": [{"Name": name, "Regex": regex} for name, regex in METRIC_DEFINITIONS],
        },
        "RoleArn": spec.role,
        "InputDataConfig": build_channels(plans, place),
        "OutputDataConfig": {"S3OutputPath": spec.output},
        "ResourceConfig": _resources(spec, cluster),
        "StoppingCondition": {"MaxRuntimeInSeconds": spec.max_run_s},
        "HyperParameters": build_hyperparameters(spec, plans, cluster),
    }
    if spec.max_wait_s:
        request["EnableManagedSpotTraining"] = True
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = spec.max_wait_s
    if spec.kms_key:
        request["OutputDataConfig"]["KmsKeyId"] = spec.kms_key
    if spec.checkpoint:
        request["CheckpointConfig"] = {"S3Uri": spec.checkpoint, "LocalPath": CHECKPOINT_FOLDER}
    if spec.subnets:
        request["VpcConfig"] = {"Subnets": list(spec.subnets), "SecurityGroupIds": list(spec.security_groups)}
    request = spec.settings.add_to(request)
    num_keys = {plan.name: len(plan.keys) for plan in plans}
    faults = training_job_faults(request) or training_job_departures(request, num_keys=num_keys)
    if faults:
        raise OptionsError(f"the training job: {faults[0]}")
    return request


def build_hyperparameters(spec: JobSpec, plans: Sequence[ChannelPlan], cluster: Cluster) -> dict[str, str]:
    """Return the hyperparameters: options of the trainer and of the toolkit. Those in `spec` override all others."""
    options: dict[str, object] = {"export": MODEL_FOLDER, "metrics": METRICS_FILE, **_split_options(spec, plans)}
    if spec.checkpoint:
        options["model-dir"] = CHECKPOINT_FOLDER
    if spec.groups.data:
        options["feed"] = f"group:{spec.groups.data}"
    toolkit: dict[str, object] = {
        "sagemaker_program": PROGRAM,
        "sagemaker_submit_directory": PROGRAM_FOLDER,
        "sagemaker_mpi_enabled": True,
        "sagemaker_mpi_num_of_processes_per_host": cluster.gpus_per_instance,
        "sagemaker_mpi_custom_mpi_options": _MPI_OPTIONS,
    }
    if spec.groups.train:
        toolkit["sagemaker_distribution_instance_groups"] = [spec.groups.train]
    texts = {name: msgspec.json.encode(value).decode() for name, value in {**options, **toolkit}.items()}
    return {**texts, **{name: as_json_text(value) for name, value in spec.hyperparameters}}


def splits_read(spec: JobSpec, plans: Sequence[ChannelPlan]) -> tuple[str, str]:
    """Return the names of the training split and of the evaluation split; the latter is empty if there is none.

    The hyperparameters `split` and `eval-split` name them. Otherwise they are the first split of each kind; `val` and
    `validation` come before other evaluation splits.

    Raises:
        OptionsError: there is no such split.
    """
    splits = tuple(dict.fromkeys(plan.split for plan in plans if plan.split))
    training = [split for split in splits if is_training_split(split)]
    evaluation = sorted((set(splits) - set(training)), key=lambda name: (name not in _USUAL_EVALUATION, name))
    named = {name: value.strip('"') for name, value in spec.hyperparameters}
    found = []
    for option, fitting in (("split", training), ("eval-split", evaluation)):
        found.append(named.get(option) or next(iter(fitting), ""))
        if found[-1] not in (*fitting, "") or (option == "split" and not fitting):
            raise OptionsError(
                f"expected {option} to be one of {', '.join(fitting) or 'no split'} in the channels, "
                f"got {found[-1] or 'none'}; choose the splits of the channels with `splits`",
                field="hyperparameter",
            )
    return found[0], found[1]


def _split_options(spec: JobSpec, plans: Sequence[ChannelPlan]) -> Mapping[str, object]:
    """Return the trainer's options for its splits, without those that equal the trainer's defaults.

    Raises:
        OptionsError: there is no training split, or the trainer would not read a Pipe channel.
    """
    training, evaluation = splits_read(spec, plans)
    unread = [plan for plan in plans if plan.mode is InputMode.PIPE and plan.split not in (training, evaluation)]
    if unread:
        raise OptionsError(
            f"channel {unread[0].name!r}: expected one that the trainer reads, since a Pipe channel that nobody reads "
            f"ends the job; it reads {training!r} and {evaluation or 'no evaluation split'!r}: name them with `splits`"
        )
    options = {"split": training, "eval-split": evaluation}
    return {name: split for name, split in options.items() if split not in ("", "train")}


def _resources(spec: JobSpec, cluster: Cluster) -> dict[str, Any]:
    resources: dict[str, Any] = {"VolumeSizeInGB": spec.volume_gb}
    types = [spec.instance_type] if spec.instance_type else [group.instance_type for group in spec.groups.groups]
    if spec.kms_key and not any(map(has_own_disks, types)):
        resources["VolumeKmsKeyId"] = spec.kms_key
    if not spec.groups.groups:
        return {**resources, "InstanceType": spec.instance_type, "InstanceCount": cluster.instances}
    groups = [
        {"InstanceGroupName": group.name, "InstanceType": group.instance_type, "InstanceCount": group.instances}
        for group in spec.groups.groups
    ]
    return {**resources, "InstanceGroups": groups}
