"""Volumes that what comes in File mode does not fit."""

import copy

import pytest

from packer.sagemaker.volume_rule import channel_bytes, volume_departures
from tests.tools.manifests import make_manifest

GB = 2**30
SIZES = {"train0": 300 * GB, "val0": 10 * GB + 1}


def with_volume(job: dict, num_gb: int, **channel: str) -> dict:
    request = copy.deepcopy(job)
    request["ResourceConfig"] |= {"VolumeSizeInGB": num_gb, "InstanceType": "ml.c5.9xlarge"}
    for found in request["InputDataConfig"]:
        found |= channel
    return request


@pytest.mark.parametrize(
    ("num_gb", "changed", "least"),
    [
        (155, {"InputMode": "File"}, 156),
        (156, {"InputMode": "File"}, 0),
        (1, {"InputMode": "Pipe"}, 0),
    ],
)
def test_shares_of_two_instances(job: dict, num_gb: int, changed: dict, least: int) -> None:
    found = list(volume_departures(with_volume(job, num_gb, **changed), SIZES))
    assert found == (
        [
            f"ResourceConfig.VolumeSizeInGB: expected at least {least} for what channels in File mode bring to each "
            f"instance (train0, val0), found {num_gb}"
        ]
        if least
        else []
    )


def test_a_channel_that_every_instance_has_whole(job: dict) -> None:
    request = with_volume(job, 300, InputMode="File")
    for channel in request["InputDataConfig"]:
        channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "FullyReplicated"
    (found,) = volume_departures(request, SIZES)
    assert "expected at least 311 for what" in found


def test_disks_of_instances_are_not_judged(job: dict) -> None:
    request = with_volume(job, 1, InputMode="File")
    request["ResourceConfig"]["InstanceType"] = "ml.g5.12xlarge"
    assert list(volume_departures(request, SIZES)) == []
    assert list(volume_departures({"ResourceConfig": 5}, SIZES)) == []


def test_bytes_by_channel() -> None:
    assert channel_bytes(make_manifest({"train-a": 8, "val": 4})) == {"train_a": 8000, "val": 4000}
