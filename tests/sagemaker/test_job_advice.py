"""What `--check` warns of in requests that SageMaker takes."""

import copy
from typing import Any

import pytest

from packer.sagemaker.instance_types import num_gpus
from packer.sagemaker.job_advice import training_job_advice
from packer.sagemaker.rules import training_job_faults

RANKS = "sagemaker_mpi_num_of_processes_per_host"


@pytest.fixture(name="job")
def _job_on_cpus(job: dict) -> dict:
    job["ResourceConfig"]["InstanceType"] = "ml.c5.9xlarge"
    return job


def changed(job: dict, **members: Any) -> dict:
    return {**copy.deepcopy(job), **members}


def with_hyperparameters(job: dict, **values: str) -> dict:
    return changed(job, HyperParameters={**job["HyperParameters"], **values})


def test_a_sound_request_has_none(job: dict) -> None:
    assert training_job_faults(job) == []
    assert training_job_advice(job) == []


def test_a_request_of_another_shape_is_the_matter_of_faults() -> None:
    assert training_job_advice({"HyperParameters": 3}) == []


def test_channels_of_which_some_name_groups(job: dict) -> None:
    request = copy.deepcopy(job)
    first, *others = request["InputDataConfig"]
    first["DataSource"]["S3DataSource"]["InstanceGroupNames"] = ["gpus"]
    names = ", ".join(channel["ChannelName"] for channel in others)
    request["ResourceConfig"] = {
        "VolumeSizeInGB": 1,
        "InstanceGroups": [{"InstanceGroupName": "gpus", "InstanceType": "ml.g5.xlarge", "InstanceCount": 2}],
    }
    assert training_job_faults(request) == [
        f"InputDataConfig: expected InstanceGroupNames in all channels or in none, found none in {names}"
    ]


@pytest.mark.parametrize(("pipes", "ranks", "is_fine"), [(2, 2, True), (2, 3, False), (3, 2, False)])
def test_ranks_and_pipe_channels(job: dict, pipes: int, ranks: int, is_fine: bool) -> None:
    template = job["InputDataConfig"][0]
    channels = [{**template, "ChannelName": f"train{number}", "InputMode": "Pipe"} for number in range(pipes)]
    request = with_hyperparameters(changed(job, InputDataConfig=channels), **{RANKS: str(ranks)})
    found = training_job_advice(request)
    assert (found == []) is is_fine
    assert is_fine or f"found {ranks} ranks and {', '.join(f'train{n}' for n in range(pipes))}" in found[0]


def test_fast_file_with_a_shuffle(job: dict) -> None:
    request = copy.deepcopy(job)
    channel = request["InputDataConfig"][0]
    request["InputDataConfig"] = [
        {**channel, "ChannelName": "x", "InputMode": "FastFile", "ShuffleConfig": {"Seed": 1}}
    ]
    assert any(
        text.startswith("InputDataConfig[0].ShuffleConfig: expected none") for text in training_job_advice(request)
    )


@pytest.mark.parametrize(("ranks", "said"), [("4", None), ("8", "two ranks would share one"), ("1", "some would idle")])
def test_ranks_and_gpus(job: dict, ranks: str, said: str | None) -> None:
    request = with_hyperparameters(changed(job, InputDataConfig=[]), **{RANKS: ranks})
    del request["InputDataConfig"]
    request["ResourceConfig"]["InstanceType"] = "ml.g5.12xlarge"
    found = [text for text in training_job_advice(request) if "GPUs of" in text]
    assert [text.rpartition(": ")[2] for text in found] == ([said] if said else [])


def test_gpus_are_those_of_the_group_that_trains(job: dict) -> None:
    request = with_hyperparameters(job, **{RANKS: "4", "sagemaker_distribution_instance_groups": '["gpu"]'})
    del request["InputDataConfig"]
    request["ResourceConfig"] = {
        "VolumeSizeInGB": 1,
        "InstanceGroups": [
            {"InstanceGroupName": "gpu", "InstanceType": "ml.p4d.24xlarge", "InstanceCount": 1},
            {"InstanceGroupName": "other", "InstanceType": "ml.g5.xlarge", "InstanceCount": 1},
        ],
    }
    (found,) = training_job_advice(request)
    assert found.endswith("expected 8, the GPUs of ml.p4d.24xlarge, found 4: some would idle")


@pytest.mark.parametrize(
    ("image", "kind", "is_fine"),
    [
        ("1.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.8.0-cpu-py312-ubuntu22.04", "ml.g5.12xlarge", False),
        ("1.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.8.0-gpu-py312-cu129", "ml.g5.12xlarge", True),
        ("a.dkr.ecr.us-east-1.amazonaws.com/train-cpu", "ml.g5.12xlarge", False),
        ("a.dkr.ecr.us-east-1.amazonaws.com/train-cpu", "ml.c5.9xlarge", True),
        ("a.dkr.ecr.us-east-1.amazonaws.com/occupy:1", "ml.g5.12xlarge", True),
        ("cpu.example.com/train:1", "ml.g5.12xlarge", True),
    ],
)  # fmt: skip
def test_an_image_for_cpus_on_gpus(job: dict, image: str, kind: str, is_fine: bool) -> None:
    request = with_hyperparameters(changed(job), **{RANKS: "4"})
    del request["InputDataConfig"]
    request["AlgorithmSpecification"]["TrainingImage"] = image
    request["ResourceConfig"]["InstanceType"] = kind
    found = training_job_advice(request)
    assert [text.partition(":")[0] for text in found] == ([] if is_fine else ["AlgorithmSpecification.TrainingImage"])
    assert is_fine or f"expected an image for GPUs on {kind}, found " in found[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aws_secret_access_key", '"x"'),
        ("note", "AKIAABCDEFGHIJKLMNOP"),
        ("password", "open sesame"),
        ("hf_token", "hf-1"),
    ],
)
@pytest.mark.parametrize("member", ["HyperParameters", "Environment"])
def test_credentials(job: dict, member: str, name: str, value: str) -> None:
    request = changed(job)
    request[member] = {**request.get(member, {}), name: value}
    (found,) = training_job_advice(request)
    assert found.startswith(f"{member}['{name}']: expected no credentials")
    assert value not in found


@pytest.mark.parametrize(("name", "value"), [("password", ""), ("max-tokens", "5"), ("key", "a")])
def test_what_is_no_credential(job: dict, name: str, value: str) -> None:
    assert training_job_advice(with_hyperparameters(job, **{name: value})) == []


def test_spot_capacity_without_checkpoints(job: dict) -> None:
    request = changed(job)
    del request["CheckpointConfig"]
    (found,) = training_job_advice(request)
    assert found.startswith("CheckpointConfig: expected a place for checkpoints")


def test_a_key_for_disks_that_take_none_is_a_fault(job: dict) -> None:
    request = changed(job)
    request["ResourceConfig"] |= {"InstanceType": "ml.g5.12xlarge", "VolumeKmsKeyId": "alias/birds"}
    assert training_job_faults(request) == [
        "ResourceConfig.VolumeKmsKeyId: expected none with ml.g5.12xlarge, whose own disks encrypt themselves, found "
        "'alias/birds'"
    ]
    request["ResourceConfig"]["InstanceType"] = "ml.c5.9xlarge"
    assert training_job_faults(request) == []


@pytest.mark.parametrize(
    ("name", "count"), [("ml.p4d.24xlarge", 8), ("ml.g5.xlarge", 1), ("ml.c5.9xlarge", 0), ("ml.p99.large", 0), ("", 0)]
)
def test_gpus_of_types(name: str, count: int) -> None:
    assert num_gpus(name) == count
