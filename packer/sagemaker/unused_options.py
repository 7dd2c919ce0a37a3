"""Refuses options that would have no effect, so that none is dropped silently."""

from __future__ import annotations

import msgspec

from packer.errors import OptionsError
from packer.options import PackOptions
from packer.sagemaker.job_options import SageMakerOptions

_OF_JOBS = (
    *("name", "image", "role", "output", "instance_type", "volume_gb", "max_run_s", "spot", "max_wait_s", "checkpoint"),
    *("hyperparameter", "subnets", "security_groups", "keep_alive_s", "job_tag", "environment", "network_isolation"),
    *("encrypt_traffic", "job_retries", "max_pending_s"),
)
"""Options that only a training request or a pipeline can use."""
_OF_PIPELINES = (
    "pack_image",
    "processing_instance_type",
    "min_accuracy",
    "model_package_group",
    "inference_image",
    "pack_instances",
    "cache_days",
)


def check_all_is_used(options: SageMakerOptions, access: PackOptions) -> None:
    """Check that each given option has an effect on the documents to make. Raises OptionsError."""
    has_job = options.job is not None or options.sdk is not None
    has_pipeline = options.pipeline is not None
    given = {field.name for field in msgspec.structs.fields(options) if getattr(options, field.name) != field.default}
    for name in _OF_JOBS:
        if name in given and not (has_job or has_pipeline):
            raise OptionsError(
                "expected with `job`, `sdk` or `pipeline`, since channels alone have no place for it", field=name
            )
    for name in _OF_PIPELINES:
        if name in given and not has_pipeline:
            raise OptionsError("expected with `pipeline`, since a job has no place for it", field=name)
    for name, only in (("pack_source", "policy"), ("events", "diagnose")):
        if name in given:
            raise OptionsError(f"expected with `{only}` only", field=name)
    _check_bucket_options(access, has_job=has_job, writes=options.upload or has_pipeline)


def _check_bucket_options(access: PackOptions, *, has_job: bool, writes: bool) -> None:
    """Refuse options for buckets that no request, list or packing step would use. Raises OptionsError."""
    is_of_job = has_job and access.kms_key is not None
    for name in ("kms_key", "sse", "storage_class", "tags"):
        is_used = writes or (is_of_job and name in ("kms_key", "sse"))
        if getattr(access, name) is not None and not is_used:
            raise OptionsError("expected with `upload=True` or `pipeline`, since nothing else is written", field=name)
    for name in ("requester_pays", "anonymous"):
        if getattr(access, name) and has_job:
            raise OptionsError(
                "expected without `job` and `sdk`: a training job has no such field, and reads its channels by its "
                "role alone; copy the data set to a bucket of yours",
                field=name,
            )
