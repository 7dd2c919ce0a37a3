"""Input channels as SageMaker's API has them, mode by mode."""

import pytest

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import Cluster, plan_channels
from packer.errors import OptionsError
from packer.sagemaker.input_data import DataPlace, FileSystem, build_channels
from packer.sagemaker.rules import channel_list_faults
from tests.tools.manifests import make_manifest

ROOT = "s3://bucket/set"
CLUSTER = Cluster(instances=2, gpus_per_instance=2)
META = {
    "ChannelName": "meta",
    "DataSource": {
        "S3DataSource": {
            "S3DataType": "S3Prefix",
            "S3Uri": "s3://bucket/set/manifest.json",
            "S3DataDistributionType": "FullyReplicated",
        }
    },
    "InputMode": "File",
}


def channels_of(mode: InputMode, place: DataPlace, *, seed: int | None = None) -> list[dict]:
    plans = plan_channels(make_manifest({"train": 8, "val": 4}), CLUSTER, mode=mode, shuffle_seed=seed)
    return build_channels(plans, place)


def s3(kind: str, tail: str, distribution: str) -> dict:
    return {
        "S3DataSource": {"S3DataType": kind, "S3Uri": f"{ROOT}/{tail}", "S3DataDistributionType": distribution},
    }


def test_pipe() -> None:
    train0, train1, val0, val1, meta = channels_of(InputMode.PIPE, DataPlace(root=ROOT), seed=7)
    for channel, name, shuffled in ((train0, "train0", True), (train1, "train1", True), (val0, "val0", False)):
        source = s3("ManifestFile", f"meta/sagemaker/L2/{name}.manifest", "ShardedByS3Key")
        expected = {"ChannelName": name, "DataSource": source, "InputMode": "Pipe"}
        expected |= {"CompressionType": "None", "RecordWrapperType": "None"}
        assert channel == expected | ({"ShuffleConfig": {"Seed": 7}} if shuffled else {})
    assert val1["ChannelName"] == "val1"
    assert meta == META


def test_file() -> None:
    train, val, meta = channels_of(InputMode.FILE, DataPlace(root=ROOT))
    source = s3("ManifestFile", "meta/sagemaker/L2/train.manifest", "ShardedByS3Key")
    assert train == {"ChannelName": "train", "DataSource": source, "InputMode": "File"}
    assert (val["ChannelName"], meta) == ("val", META)


def test_fast_file() -> None:
    train, _, meta = channels_of(InputMode.FAST_FILE, DataPlace(root=ROOT))
    source = s3("S3Prefix", "train/", "FullyReplicated")
    assert train == {"ChannelName": "train", "DataSource": source, "InputMode": "FastFile"}
    assert meta == META


def test_file_system() -> None:
    mounted = FileSystem(
        file_system_id="fs-0123456789abcdef0", file_system_type="FSxLustre", directory_path="/fsx/set/"
    )
    train, val, meta = channels_of(InputMode.FILE_SYSTEM, DataPlace(root="/mnt/set", file_system=mounted))
    source = {
        "FileSystemId": "fs-0123456789abcdef0",
        "FileSystemType": "FSxLustre",
        "FileSystemAccessMode": "ro",
        "DirectoryPath": "/fsx/set/train",
    }
    assert train == {"ChannelName": "train", "DataSource": {"FileSystemDataSource": source}, "InputMode": "File"}
    assert val["DataSource"]["FileSystemDataSource"]["DirectoryPath"] == "/fsx/set/val"
    assert meta["DataSource"]["FileSystemDataSource"]["DirectoryPath"] == "/fsx/set"


@pytest.mark.parametrize("mode", [InputMode.PIPE, InputMode.FILE, InputMode.FAST_FILE])
def test_instance_groups_stand_at_every_channel(mode: InputMode) -> None:
    channels = channels_of(mode, DataPlace(root=ROOT, groups=("gpu",)))
    assert {tuple(c["DataSource"]["S3DataSource"]["InstanceGroupNames"]) for c in channels} == {("gpu",)}
    assert channel_list_faults(channels) == []


def test_places_that_sagemaker_does_not_take() -> None:
    with pytest.raises(
        OptionsError, match=r"InputDataConfig\[0\].*S3Uri: expected at most 1024 characters, found 1035"
    ):
        channels_of(InputMode.FAST_FILE, DataPlace(root="s3://bucket/" + "x" * 1016))
    wrong = FileSystem(file_system_id="fs-1", file_system_type="NFS", directory_path="/set")
    with pytest.raises(OptionsError, match="FileSystemId: expected at least 11 characters, found 4"):
        channels_of(InputMode.FILE_SYSTEM, DataPlace(root="/mnt", file_system=wrong))
    with pytest.raises(OptionsError, match="`directory_path`: expected an absolute path, got 'set'"):
        FileSystem(file_system_id="fs-1", file_system_type="NFS", directory_path="set")
