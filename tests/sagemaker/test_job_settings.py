"""Members of a request that it has only where they are asked for."""

from typing import Any

import pytest

from packer.errors import OptionsError
from packer.options import parse_options
from packer.sagemaker.job_options import SageMakerOptions
from packer.sagemaker.job_settings import JobSettings, parse_pairs
from packer.sagemaker.rules import training_job_faults
from packer.sagemaker.unused_options import check_all_is_used
from tests.sagemaker.editing import edited

ALL = SageMakerOptions(
    keep_alive_s=600, job_tag=("team=birds", "cost=a=b"), environment=("NCCL_DEBUG=INFO",), network_isolation=True,
    encrypt_traffic=True, job_retries=3, max_pending_s=7200,
)  # fmt: skip
REACH = parse_options({"source": "s", "dest": "d"})


def test_each_setting_is_a_member(job: dict) -> None:
    request = edited(job, ("EnableManagedSpotTraining", False))
    del request["StoppingCondition"]["MaxWaitTimeInSeconds"]
    made = ALL.settings().add_to(request)
    assert training_job_faults(made) == []
    assert {name: made[name] for name in made if made[name] != request.get(name)} == {
        "ResourceConfig": {**request["ResourceConfig"], "KeepAlivePeriodInSeconds": 600},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxPendingTimeInSeconds": 7200},
        "Tags": [{"Key": "team", "Value": "birds"}, {"Key": "cost", "Value": "a=b"}],
        "Environment": {"NCCL_DEBUG": "INFO"},
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        "RetryStrategy": {"MaximumRetryAttempts": 3},
    }
    assert JobSettings().add_to(request) == request


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("team",), "`job_tag`: expected K=V such as team=birds, got 'team'"),
        (("=birds",), "`job_tag`: expected K=V such as team=birds, got '=birds'"),
        (("a=1", "a=2"), "`job_tag`: expected each name once, got 'a' 2 times"),
    ],
)
def test_pairs_that_are_none(texts: tuple[str, ...], said: str) -> None:
    with pytest.raises(OptionsError) as caught:
        parse_pairs(texts, field="job_tag", example="team=birds")
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        (
            [("ResourceConfig.KeepAlivePeriodInSeconds", 60)],
            "ResourceConfig.KeepAlivePeriodInSeconds: expected none with EnableManagedSpotTraining, which has no warm "
            "pool",
        ),
        ([("Tags", [{"Key": "AWS:x", "Value": ""}])], "Tags[0].Key: expected no name of AWS's own (aws:), found "),
        ([("Tags", [{"Key": "x", "Value": ""}] * 2)], "Tags[1].Key: expected each name once, found 'x' again"),
        ([("StoppingCondition.MaxPendingTimeInSeconds", 60)], "StoppingCondition.MaxPendingTimeInSeconds: expected at"),
        ([("RetryStrategy", {"MaximumRetryAttempts": 31})], "RetryStrategy.MaximumRetryAttempts: expected at most 30"),
    ],
)
def test_settings_that_aws_refuses(job: dict, edits: list, said: str) -> None:
    (fault,) = training_job_faults(edited(job, *edits))
    assert fault.startswith(said)


def test_instances_of_several_kinds_have_no_warm_pool(job: dict) -> None:
    groups = [{"InstanceGroupName": "gpu", "InstanceType": "ml.g5.xlarge", "InstanceCount": 2}]
    resources = {"InstanceGroups": groups, "VolumeSizeInGB": 1, "KeepAlivePeriodInSeconds": 60}
    request = edited(job, ("ResourceConfig", resources), ("EnableManagedSpotTraining", False))
    del request["StoppingCondition"]["MaxWaitTimeInSeconds"]
    assert training_job_faults(request) == [
        "ResourceConfig.KeepAlivePeriodInSeconds: expected none with InstanceGroups, which has no warm pool"
    ]


def test_options_that_would_reach_nothing_are_refused() -> None:
    cases: dict[str, Any] = {"job_tag": ("a=b",), "spot": True, "image": "i", "volume_gb": 7}
    for name, value in cases.items():
        options = SageMakerOptions(**{name: value})
        with pytest.raises(OptionsError, match=f"`{name}`: expected with `job`, `sdk` or `pipeline`"):
            check_all_is_used(options, REACH)
        check_all_is_used(SageMakerOptions(**{name: value}, sdk="job.py"), REACH)
    with pytest.raises(OptionsError, match="`pack_image`: expected with `pipeline`, since a job has no place for it"):
        check_all_is_used(SageMakerOptions(job="j", pack_image="i"), REACH)
    check_all_is_used(SageMakerOptions(pipeline="p", pack_image="i"), REACH)


def test_every_option_of_a_job_is_known_to_be_one() -> None:
    """A new option has to be placed: it is of channels, of jobs, of pipelines, or says what is made."""
    from packer.sagemaker import unused_options

    of_channels = {
        *("dest", "instances", "gpus_per_instance", "mode", "splits", "shuffle_seed", "instance_group", "train_group"),
        *("file_system_id", "file_system_type", "directory_path", "data_group", "upload"),
    }
    what = {"job", "sdk", "sdk_version", "pipeline", "check", "policy", "pack_source", "diagnose", "events"}
    placed = {*of_channels, *what, *unused_options._OF_JOBS, *unused_options._OF_PIPELINES}
    assert set(SageMakerOptions.__struct_fields__) - placed == set()
