"""Options of `shardpack sagemaker`; the command line is made from these fields."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from packer.channels.channel_names import InputMode
from packer.errors import OptionsError

# Every command imports this module for the names of the options; only `sagemaker` needs the modules below.
if TYPE_CHECKING:
    from packer.channels.channel_plan import Cluster
    from packer.channels.instance_groups import JobGroups
    from packer.sagemaker.input_data import DataPlace, FileSystem
    from packer.sagemaker.job_settings import JobSettings
    from packer.sagemaker.policies import PolicyPlaces
    from packer.sagemaker.training_request import JobSpec


class PolicyKind(enum.StrEnum):
    """The role whose rights a policy lists."""

    PACK = "pack"
    TRAIN = "train"
    PIPELINE = "pipeline"


class SageMakerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `sagemaker`; field names are the command line's with underscores."""

    dest: Annotated[str, Meta(description="a data set, in S3 but for `mode=FileSystem`")] = ""
    instances: Annotated[int | None, Meta(description="training instances (default: those of `train_group`)")] = None
    gpus_per_instance: Annotated[int | None, Meta(description="ranks on each instance")] = None
    mode: Annotated[InputMode | None, Meta(description="how shards reach the instances")] = None
    splits: Annotated[str | None, Meta(description="splits to read, such as train,val (default: all)")] = None
    shuffle_seed: Annotated[int | None, Meta(description="let SageMaker shuffle the shards of training splits")] = None
    file_system_id: Annotated[str | None, Meta(description="fs-... that instances mount, for `mode=FileSystem`")] = None
    file_system_type: Annotated[str, Meta(description="EFS or FSxLustre")] = "EFS"
    directory_path: Annotated[str | None, Meta(description="absolute path of the data set on the file system")] = None
    instance_group: Annotated[tuple[str, ...], Meta(description="one of several kinds of instances; repeatable")] = ()
    train_group: Annotated[str | None, Meta(description="the instance group that trains")] = None
    data_group: Annotated[str | None, Meta(description="the instance group that makes batches for it")] = None
    upload: Annotated[bool, Meta(description="write the lists of shards that are missing or wrong into DEST")] = False
    job: Annotated[str | None, Meta(description="for a whole CreateTrainingJob request")] = None
    sdk: Annotated[str | None, Meta(description="for the same job as source for the Python SDK")] = None
    sdk_version: Annotated[int, Meta(ge=2, le=3, description="of the Python SDK: 3, or 2")] = 3
    pipeline: Annotated[str | None, Meta(description="for a pipeline that packs, trains and evaluates")] = None
    check: Annotated[
        str | None, Meta(description="only check such a file of anybody, with DEST also sizes against volumes")
    ] = None
    diagnose: Annotated[str | None, Meta(description="only say why this job is slow, from its metrics")] = None
    events: Annotated[str | None, Meta(description="what its trainer wrote with `log`, for `diagnose`")] = None
    policy: Annotated[PolicyKind | None, Meta(description="only show the least rights of the role that does this")] = (
        None
    )
    pack_source: Annotated[tuple[str, ...], Meta(description="s3://... that is packed, for `policy`; repeatable")] = ()
    name: Annotated[str | None, Meta(description="of the job (default: from the data set's digest)")] = None
    image: Annotated[str, Meta(description="URI of the training image")] = ""
    role: Annotated[str, Meta(description="ARN of the role of the job")] = ""
    output: Annotated[str, Meta(description="s3://... for what the job leaves")] = ""
    instance_type: Annotated[str, Meta(description="such as ml.g5.48xlarge")] = ""
    volume_gb: Annotated[int, Meta(ge=1, description="disk of each instance")] = 100
    max_run_s: Annotated[int, Meta(ge=1, description="seconds the job may run")] = 86_400
    spot: Annotated[bool, Meta(description="use spot capacity")] = False
    max_wait_s: Annotated[int | None, Meta(description="seconds for waiting and run (default: twice the run)")] = None
    checkpoint: Annotated[str, Meta(description="s3://... for checkpoints")] = ""
    hyperparameter: Annotated[tuple[str, ...], Meta(description="option of the trainer; repeatable")] = ()
    subnets: Annotated[str | None, Meta(description="of the job's network, such as subnet-1,subnet-2")] = None
    security_groups: Annotated[str | None, Meta(description="of the job's network, such as sg-1,sg-2")] = None
    keep_alive_s: Annotated[int | None, Meta(description="seconds that instances wait for another job, paid for")] = (
        None
    )
    job_tag: Annotated[tuple[str, ...], Meta(description="tag of the job, and of a pipeline's; repeatable")] = ()
    environment: Annotated[tuple[str, ...], Meta(description="variable of the containers; repeatable")] = ()
    network_isolation: Annotated[bool, Meta(description="the training containers reach only each other")] = False
    encrypt_traffic: Annotated[bool, Meta(description="encrypt what instances send each other")] = False
    job_retries: Annotated[int | None, Meta(description="1 to 30, after errors of SageMaker itself")] = None
    max_pending_s: Annotated[int | None, Meta(description="seconds the job may wait for instances")] = None
    pack_image: Annotated[str, Meta(description="URI of the packing image, for `pipeline`")] = ""
    processing_instance_type: Annotated[str, Meta(description="packs and evaluates in a pipeline")] = "ml.c5.9xlarge"
    min_accuracy: Annotated[float, Meta(ge=0, le=1, description="a pipeline's model must have")] = 0.5
    model_package_group: Annotated[str, Meta(description="where a pipeline registers a good model")] = ""
    inference_image: Annotated[str, Meta(description="URI of the image that serves the registered model")] = ""
    pack_instances: Annotated[int, Meta(ge=1, le=100, description="instances that pack in a pipeline")] = 1
    cache_days: Annotated[int, Meta(ge=0, description="a pipeline's packing counts as done for so long")] = 30

    def split_names(self) -> tuple[str, ...]:
        """Return the names of the splits to read; empty for all splits."""
        return _names(self.splits)

    def groups(self) -> JobGroups:
        """Return the groups of a heterogeneous cluster and their roles. Raises OptionsError."""
        from packer.channels.instance_groups import choose_groups

        return choose_groups(self.instance_group, self.train_group, self.data_group)

    def input_mode(self) -> InputMode:
        """Return the input mode. Raises OptionsError if none was given."""
        if self.mode is None:
            raise OptionsError(f"expected one of {', '.join(InputMode)}, got none", field="mode")
        return self.mode

    def cluster(self) -> Cluster:
        """Return the instances that train. Raises OptionsError."""
        from packer.channels.channel_plan import Cluster

        instances = self.groups().train_instances(self.instances)
        if instances is None or self.gpus_per_instance is None:
            missing = "instances" if instances is None else "gpus_per_instance"
            raise OptionsError("expected the instances that train and the ranks on each, got none", field=missing)
        return Cluster(instances=instances, gpus_per_instance=self.gpus_per_instance)

    def place(self, root: str) -> DataPlace:
        """Return where instances find the data set at `root`, an absolute path or URI.

        Raises:
            OptionsError: the place does not suit the input mode.
        """
        from packer.sagemaker.input_data import DataPlace
        from packer.stores.open_store import find_scheme

        groups = self.groups().readers
        if self.input_mode() is InputMode.FILE_SYSTEM:
            return DataPlace(root=root, file_system=self._file_system(), groups=groups)
        if self.file_system_id is not None or self.directory_path is not None:
            raise OptionsError(f"expected with `mode=FileSystem` only, got `mode={self.mode}`", field="file_system_id")
        if find_scheme(root) != "s3":
            raise OptionsError(
                f"expected a data set in S3 with `mode={self.mode}`, got {root}; copy it (aws s3 sync {root} "
                "s3://BUCKET/PREFIX), then name the copy and add `upload=True`",
                field="dest",
            )
        return DataPlace(root=root, groups=groups)

    def policy_places(self, *, kms_key: str, has_tags: bool) -> PolicyPlaces:
        """Return the resources that the role of `policy` needs access to."""
        from packer.sagemaker.policies import PolicyPlaces

        images = (self.pack_image,) if self.policy is PolicyKind.PACK else (self.image,)
        return PolicyPlaces(
            dest=self.dest,
            sources=self.pack_source,
            output=self.output,
            checkpoint=self.checkpoint,
            images=tuple(filter(None, images)),
            role=self.role,
            kms_key=kms_key,
            has_tags=has_tags,
            has_network=self.subnets is not None,
            model_package_group=self.model_package_group,
        )

    def _file_system(self) -> FileSystem:
        from packer.sagemaker.input_data import FileSystem

        if self.file_system_id is None or self.directory_path is None:
            missing = "file_system_id" if self.file_system_id is None else "directory_path"
            raise OptionsError("expected a value with `mode=FileSystem`, got none", field=missing)
        return FileSystem(
            file_system_id=self.file_system_id,
            file_system_type=self.file_system_type,
            directory_path=self.directory_path,
        )

    def job_spec(self, *, default_name: str, kms_key: str = "") -> JobSpec:
        """Return the description of the job, apart from its data. Raises OptionsError."""
        from packer.sagemaker.job_settings import parse_pairs
        from packer.sagemaker.training_request import JobSpec

        if self.max_wait_s is not None and not self.spot:
            raise OptionsError("expected with `spot=True` only", field="max_wait_s")
        if self.spot and not self.checkpoint:
            raise OptionsError(
                "expected a place for checkpoints with `spot=True`, got none: what a job had learnt would be lost each "
                "time that its instances are taken away",
                field="checkpoint",
            )
        max_wait_s = 2 * self.max_run_s if self.max_wait_s is None else self.max_wait_s
        return JobSpec(
            name=self.name or default_name,
            image=self.image,
            role=self.role,
            output=self.output,
            instance_type=self.instance_type,
            groups=self.groups(),
            volume_gb=self.volume_gb,
            max_run_s=self.max_run_s,
            max_wait_s=max_wait_s if self.spot else 0,
            checkpoint=self.checkpoint,
            hyperparameters=parse_pairs(self.hyperparameter, field="hyperparameter", example="epochs=90"),
            settings=self.settings(),
            kms_key=kms_key,
            subnets=_names(self.subnets),
            security_groups=_names(self.security_groups),
        )

    def settings(self) -> JobSettings:
        """Return the optional settings of the job: tags, variables, network and times. Raises OptionsError."""
        from packer.sagemaker.job_settings import JobSettings, parse_pairs

        return JobSettings(
            keep_alive_s=self.keep_alive_s,
            tags=parse_pairs(self.job_tag, field="job_tag", example="team=birds"),
            environment=parse_pairs(self.environment, field="environment", example="NCCL_DEBUG=INFO"),
            network_isolation=self.network_isolation,
            encrypt_traffic=self.encrypt_traffic,
            retries=self.job_retries,
            max_pending_s=self.max_pending_s,
        )


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()
