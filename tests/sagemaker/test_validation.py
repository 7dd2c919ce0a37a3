"""What is wrong with a request is found, each fault by its field; what is sound passes here, in botocore and moto."""

import re
from collections.abc import Callable

import boto3
import pytest
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packer.sagemaker.documents import advise_on, check_document
from packer.sagemaker.house_rules import channel_list_departures, training_job_departures
from packer.sagemaker.job_advice import training_job_advice
from packer.sagemaker.rules import channel_list_faults, training_job_faults
from packer.sagemaker.validation import _service, request_faults, translate_pattern
from tests.sagemaker.editing import GONE, JSON_VALUES, edited, paths_in

CHANNEL = "InputDataConfig[0]"
SOURCE = f"{CHANNEL}.DataSource.S3DataSource"
S3_META = "InputDataConfig[4].DataSource.S3DataSource"
GROUPS = [
    {"InstanceGroupName": "gpu", "InstanceType": "ml.p4d.24xlarge", "InstanceCount": 2},
    {"InstanceGroupName": "cpu", "InstanceType": "ml.c5.9xlarge", "InstanceCount": 1},
]
FILE_SYSTEM = {
    "FileSystemId": "fs-0123456789abcdef0",
    "FileSystemType": "EFS",
    "FileSystemAccessMode": "ro",
    "DirectoryPath": "/set",
}


def test_a_sound_request_passes(job: dict) -> None:
    assert training_job_faults(job) == []
    assert channel_list_faults(job["InputDataConfig"]) == []
    assert len(job["InputDataConfig"]) == 5


# Each row: the path that is edited, the value there, and what the fault says beside the path.
ONE_FIELD: list[tuple[str, object, str]] = [
    ("TrainingJobName", GONE, "expected a value, found none"),
    ("TrainingJobName", "x" * 64, "expected at most 63 characters, found 64"),
    ("TrainingJobName", "", "expected at least 1 characters, found 0"),
    ("TrainingJobName", "under_score", "expected text that matches"),
    ("TrainingJobName", "-first", "expected text that matches"),
    ("TrainingJobName", "first\n", "expected text that matches"),
    ("TrainingJobName", 5, "expected text, found 5"),
    ("Colour", "red", "found an unknown member"),
    ("RoleArn", GONE, "expected a value, found none"),
    ("RoleArn", "training", "expected at least 20 characters, found 8"),
    ("RoleArn", "arn:aws:iam::12345:role/training", "expected text that matches"),
    ("AlgorithmSpecification", GONE, "expected a value, found none"),
    ("AlgorithmSpecification.TrainingInputMode", GONE, "expected a value, found none"),
    ("AlgorithmSpecification.TrainingInputMode", "pipe", "expected one of Pipe, File, FastFile, found 'pipe'"),
    ("AlgorithmSpecification.TrainingImage", "i" * 256, "expected at most 255 characters, found 256"),
    ("AlgorithmSpecification.TrainingImage", GONE, "expected it or AlgorithmName, found 0 of the two"),
    ("AlgorithmSpecification.MetricDefinitions[0].Name", GONE, "expected a value, found none"),
    ("AlgorithmSpecification.MetricDefinitions", [{"Name": "x", "Regex": "(.)"}] * 41, "at most 40 of them, found 41"),
    ("AlgorithmSpecification.MetricDefinitions", [{"Name": "x", "Regex": "(.)"}] * 2, "each name once, found 'x' 2"),
    ("InputDataConfig", [], "expected at least 1 of them, found 0"),
    ("InputDataConfig", {"train": 1}, "expected a list, found {'train': 1}"),
    (f"{CHANNEL}.ChannelName", GONE, "expected a value, found none"),
    (f"{CHANNEL}.ChannelName", "t" * 65, "expected at most 64 characters, found 65"),
    (f"{CHANNEL}.ChannelName", "train 0", "expected text that matches"),
    ("InputDataConfig[1].ChannelName", "train0", "expected each name once, found 'train0' again"),
    (f"{CHANNEL}.InputMode", "Stream", "expected one of Pipe, File, FastFile"),
    (f"{CHANNEL}.CompressionType", "gzip", "expected one of None, Gzip, found 'gzip'"),
    (f"{CHANNEL}.RecordWrapperType", "TFRecord", "expected one of None, RecordIO"),
    (f"{CHANNEL}.ContentType", "c" * 257, "expected at most 256 characters, found 257"),
    (f"{CHANNEL}.ShuffleConfig.Seed", GONE, "expected a value, found none"),
    (f"{CHANNEL}.ShuffleConfig.Seed", 2**63, f"expected at most {2**63 - 1}, found {2**63}"),
    (f"{CHANNEL}.ShuffleConfig.Seed", "7", "expected a whole number, found '7'"),
    (f"{CHANNEL}.ShuffleConfig.Seed", True, "expected a whole number, found True"),
    (f"{CHANNEL}.DataSource", {}, "exactly one of S3DataSource, FileSystemDataSource, DatasetSource, found 0"),
    (f"{CHANNEL}.DataSource.FileSystemDataSource", FILE_SYSTEM, ""),
    (f"{SOURCE}.S3DataType", GONE, "expected a value, found none"),
    (f"{SOURCE}.S3DataType", "Manifest", "expected one of ManifestFile, S3Prefix, AugmentedManifestFile, Converse"),
    (f"{SOURCE}.S3Uri", GONE, "expected a value, found none"),
    (f"{SOURCE}.S3Uri", "/disk/set", "expected text that matches"),
    (f"{SOURCE}.S3Uri", "s3://b/" + "k" * 1018, "expected at most 1024 characters, found 1025"),
    (f"{SOURCE}.S3Uri", "s3://b/lists/", "expected the object that holds the list, found the prefix"),
    (f"{SOURCE}.S3DataDistributionType", "Sharded", "expected one of FullyReplicated, ShardedByS3Key"),
    (f"{SOURCE}.InstanceGroupNames", ["gpu"], "one of ResourceConfig.InstanceGroups (there are none), found 'gpu'"),
    (f"{SOURCE}.InstanceGroupNames", list("abcdef"), "expected at most 5 of them, found 6"),
    (f"{SOURCE}.AttributeNames", ["image"], "expected with AugmentedManifestFile only, found ManifestFile"),
    ("OutputDataConfig", GONE, "expected a value, found none"),
    ("OutputDataConfig.S3OutputPath", "out", "expected text that matches"),
    ("ResourceConfig.InstanceType", "ml.g5.13xlarge", "expected one of ml.m4.xlarge"),
    ("ResourceConfig.InstanceType", GONE, "expected a value, or InstanceGroups; found none"),
    ("ResourceConfig.InstanceCount", "2", "expected a whole number, found '2'"),
    ("ResourceConfig.InstanceCount", 0, "expected at least 1, found 0"),
    ("ResourceConfig.InstanceCount", -1, "expected at least 0, found -1"),
    ("ResourceConfig.InstanceCount", GONE, "expected a value, or InstanceGroups; found none"),
    ("ResourceConfig.VolumeSizeInGB", 2.5, "expected a whole number, found 2.5"),
    ("ResourceConfig.KeepAlivePeriodInSeconds", 21_601, "expected at most 21600, found 21601"),
    ("ResourceConfig.InstanceGroups", GROUPS, ""),
    ("StoppingCondition", GONE, "expected a value, found none"),
    ("StoppingCondition.MaxRuntimeInSeconds", 0, "expected at least 1, found 0"),
    ("StoppingCondition.MaxWaitTimeInSeconds", 3599, "expected at least MaxRuntimeInSeconds (3600), found 3599"),
    ("StoppingCondition.MaxWaitTimeInSeconds", GONE, "expected a value with EnableManagedSpotTraining, found none"),
    ("StoppingCondition.MaxRuntimeInSeconds", GONE, "expected a value with EnableManagedSpotTraining, found none"),
    ("EnableManagedSpotTraining", "true", "expected true or false, found 'true'"),
    ("CheckpointConfig.S3Uri", GONE, "expected a value, found none"),
    ("HyperParameters.epochs", 3, "expected text, found 3"),
    ("HyperParameters.epochs", "3" * 2501, "expected at most 2500 characters, found 2501"),
    ("VpcConfig", {"Subnets": ["subnet-1"]}, ""),
    ("VpcConfig", {"Subnets": [], "SecurityGroupIds": ["sg-1"]}, ""),
    ("VpcConfig", {"Subnets": ["s" * 33], "SecurityGroupIds": ["sg-1"]}, ""),
    ("Environment", {"1A": "x"}, ""),
    ("RetryStrategy.MaximumRetryAttempts", 31, "expected at most 30, found 31"),
    ("Tags", [{"Key": "a|b", "Value": ""}], ""),
]  # fmt: skip
ELSEWHERE = {
    f"{CHANNEL}.DataSource.FileSystemDataSource": f"{CHANNEL}.DataSource: expected exactly one of",
    "ResourceConfig.InstanceGroups": "ResourceConfig.InstanceType: expected none beside InstanceGroups",
    "Environment": "Environment['1A']: expected text that matches [a-zA-Z_][a-zA-Z0-9_]*, found '1A' as its name",
    "Tags": "Tags[0].Key: expected text that matches",
}
"""Where the fault is in another field than the edit."""
NETWORKS = [
    ["VpcConfig.SecurityGroupIds: expected a value, found none"],
    ["VpcConfig.Subnets: expected at least 1 of them, found 0"],
    ["VpcConfig.Subnets[0]: expected at most 32 characters, found 33"],
]


@pytest.mark.parametrize(("path", "value", "said"), ONE_FIELD, ids=[f"{i}-{row[0]}" for i, row in enumerate(ONE_FIELD)])
def test_one_wrong_field_is_named(job: dict, path: str, value: object, said: str) -> None:
    faults = training_job_faults(edited(job, (path, value)))
    assert len(faults) >= 1
    if path == "VpcConfig":
        assert faults in NETWORKS
    else:
        assert said or path in ELSEWHERE
        expected = path.replace("HyperParameters.epochs", "HyperParameters['epochs']")
        assert faults[0].startswith(ELSEWHERE.get(path, expected))
        assert said in faults[0]


# Each row: the edits, then how the fault begins.
SEVERAL_FIELDS: list[tuple[list[tuple[str, object]], str]] = [
    ([(f"{CHANNEL}.InputMode", "FastFile")], f"{SOURCE}.S3DataType: expected S3Prefix with InputMode FastFile"),
    (
        [(f"{CHANNEL}.InputMode", "File"), (f"{SOURCE}.S3DataType", "AugmentedManifestFile"),
         (f"{SOURCE}.AttributeNames", ["image-ref"])],
        f"{SOURCE}.S3DataType: expected AugmentedManifestFile with InputMode Pipe only, found File",
    ),
    ([(f"{SOURCE}.S3DataType", "AugmentedManifestFile")], f"{SOURCE}.AttributeNames: expected one or more"),
    (
        [(f"{CHANNEL}.InputMode", "File"), (f"{CHANNEL}.CompressionType", "Gzip")],
        f"{CHANNEL}.CompressionType: expected None or no value with InputMode File, found Gzip",
    ),
    (
        [(f"{CHANNEL}.InputMode", "File"), (f"{CHANNEL}.RecordWrapperType", "RecordIO")],
        f"{CHANNEL}.RecordWrapperType: expected None or no value with InputMode File, found RecordIO",
    ),
    (
        [(f"{CHANNEL}.InputMode", GONE), (f"{CHANNEL}.RecordWrapperType", "RecordIO"),
         ("AlgorithmSpecification.TrainingInputMode", "File")],
        f"{CHANNEL}.RecordWrapperType: expected None or no value with InputMode File, found RecordIO",
    ),
    (
        [("InputDataConfig[4]", {"ChannelName": "meta", "InputMode": "Pipe",
                                 "DataSource": {"FileSystemDataSource": FILE_SYSTEM}})],
        "InputDataConfig[4].InputMode: expected File for a FileSystemDataSource, found Pipe",
    ),
    (
        [("InputDataConfig[4]", {"ChannelName": "meta", "InputMode": "File",
                                 "DataSource": {"FileSystemDataSource": FILE_SYSTEM}})],
        "VpcConfig: expected the network of the file system",
    ),
    (
        [("InputDataConfig[4].DataSource", {"FileSystemDataSource": {**FILE_SYSTEM, "FileSystemId": "fs-xyz0000"}})],
        "InputDataConfig[4].DataSource.FileSystemDataSource.FileSystemId: expected at least 11 characters, found 10",
    ),
    (
        [("InputDataConfig[4].DataSource", {"FileSystemDataSource": {**FILE_SYSTEM, "FileSystemType": "NFS"}})],
        "InputDataConfig[4].DataSource.FileSystemDataSource.FileSystemType: expected one of EFS, FSxLustre",
    ),
    (
        [("EnableManagedSpotTraining", False)],
        "StoppingCondition.MaxWaitTimeInSeconds: expected with EnableManagedSpotTraining only, found 7200",
    ),
    (
        [("ResourceConfig", {"VolumeSizeInGB": 1, "InstanceGroups": [*GROUPS, GROUPS[0]]})],
        "ResourceConfig.InstanceGroups: expected each name once, found 'gpu' 2 times",
    ),
    (
        [("ResourceConfig", {"InstanceGroups": GROUPS}), (f"{SOURCE}.InstanceGroupNames", ["tpu"])],
        f"{SOURCE}.InstanceGroupNames[0]: expected one of ResourceConfig.InstanceGroups (cpu, gpu), found 'tpu'",
    ),
    (
        [("ResourceConfig", {"InstanceGroups": [{**GROUPS[0], "InstanceCount": 0}]})],
        "ResourceConfig.InstanceGroups[0].InstanceCount: expected at least 1, found 0",
    ),
    (
        [("ResourceConfig", {"InstanceGroups": GROUPS * 3})],
        "ResourceConfig.InstanceGroups: expected at most 5 of them, found 6",
    ),
    (
        [("ResourceConfig", {"InstanceGroups": GROUPS}),
         ("HyperParameters.sagemaker_distribution_instance_groups", '["gpu", "tpu"]')],
        "HyperParameters['sagemaker_distribution_instance_groups']: expected names of ResourceConfig.InstanceGroups",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edits", "expected"), SEVERAL_FIELDS)
def test_fields_that_contradict_each_other(job: dict, edits: list[tuple[str, object]], expected: str) -> None:
    faults = training_job_faults(edited(job, *edits))
    assert faults
    assert faults[0].startswith(expected)


# What SageMaker takes, and this package keeps out of: edits, then how the departure begins and what it says.
OF_THE_HOUSE: list[tuple[list[tuple[str, object]], str, str]] = [
    (
        [("AlgorithmSpecification.MetricDefinitions[0].Regex", "loss=(")],
        "AlgorithmSpecification.MetricDefinitions[0].Regex", "expected a regular expression",
    ),
    (
        [("AlgorithmSpecification.MetricDefinitions[0].Regex", "loss")],
        "AlgorithmSpecification.MetricDefinitions[0].Regex", "expected one group, which is the metric's value",
    ),
    ([(f"{CHANNEL}.ChannelName", "train-0")], f"{CHANNEL}.ChannelName", "letters, digits and underscores"),
    ([(f"{CHANNEL}.ChannelName", "train_0")], f"{CHANNEL}.ChannelName", "FIFO of an epoch of channel 'train'"),
    (
        [("InputDataConfig[1].ChannelName", "TRAIN0")],
        "InputDataConfig[1].ChannelName", "SM_CHANNEL_TRAIN0; 'train0' has the same one",
    ),
    ([(f"{SOURCE}.S3Uri", "s3://b//x.manifest")], f"{SOURCE}.S3Uri", "expected s3://bucket/key without empty parts"),
    (
        [(f"{SOURCE}.S3Uri", "https://b.s3.amazonaws.com/x.manifest")],
        f"{SOURCE}.S3Uri", "expected s3://bucket/key without empty parts",
    ),
    ([(f"{S3_META}.S3Uri", "s3://bucket/set/train")], f"{S3_META}.S3Uri", "expected a prefix that ends in '/'"),
    (
        [("CheckpointConfig.LocalPath", "/opt/ml/model/x")],
        "CheckpointConfig.LocalPath", "expected a folder such as /opt/ml/checkpoints",
    ),
    (
        [("CheckpointConfig.LocalPath", "checkpoints")],
        "CheckpointConfig.LocalPath", "expected a folder such as /opt/ml/checkpoints",
    ),
    (
        [(f"{CHANNEL}.InputMode", "FastFile"), (f"{SOURCE}.S3DataType", "S3Prefix"), (f"{SOURCE}.S3Uri", "s3://b/tr")],
        f"{SOURCE}.S3Uri", "expected a prefix that ends in '/'",
    ),
    (
        [(f"{CHANNEL}.InputMode", "FastFile"), (f"{SOURCE}.S3DataType", "S3Prefix"), (f"{SOURCE}.S3Uri", "s3://b/m.json")],
        f"{SOURCE}.S3Uri", "expected a prefix that ends in '/'",
    ),
    (
        [(f"{CHANNEL}.DataSource", {"FileSystemDataSource": FILE_SYSTEM}), (f"{CHANNEL}.InputMode", "File"),
         (f"{CHANNEL}.CompressionType", "None"),
         ("VpcConfig", {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})],
        f"{CHANNEL}.ShuffleConfig", "expected with an S3DataSource only, whose objects SageMaker shuffles",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edits", "path", "said"), OF_THE_HOUSE)
def test_what_sagemaker_takes_and_the_house_does_not(job: dict, edits: list, path: str, said: str) -> None:
    request = edited(job, *edits)
    assert training_job_faults(request) == []
    departures = training_job_departures(request)
    assert departures[0].startswith(f"{path}: ")
    assert said in departures[0]
    assert training_job_advice(request)[0] == departures[0]
    if path.startswith("InputDataConfig"):
        assert channel_list_departures(request["InputDataConfig"]) == departures


def test_more_than_twenty_channels(job: dict) -> None:
    channels = [{**job["InputDataConfig"][4], "ChannelName": f"c{index}"} for index in range(21)]
    assert channel_list_faults(channels) == ["InputDataConfig: expected at most 20 of them, found 21"]
    assert channel_list_faults(channels[:20]) == []


@pytest.mark.parametrize(
    ("num_keys", "said"),
    [
        (1, "at least one object for each of 2 instances, found 1 objects"),
        (3, "objects that divide by 2 instances, found 3 objects"),
        (4, ""),
    ],
)
def test_shares_of_sharded_channels(job: dict, num_keys: int, said: str) -> None:
    departures = training_job_departures(job, num_keys={"train0": num_keys, "meta": 1})
    assert len(departures) == bool(said)
    assert all(
        departure.startswith(f"{SOURCE}.S3DataDistributionType: ") and said in departure for departure in departures
    )


def test_shares_are_of_the_groups_that_read(job: dict) -> None:
    edits = [("ResourceConfig", {"InstanceGroups": GROUPS}), (f"{SOURCE}.InstanceGroupNames", ["gpu"])]
    assert training_job_departures(edited(job, *edits), num_keys={"train0": 4}) == []
    departures = training_job_departures(edited(job, *edits[:1]), num_keys={"train0": 4})
    assert "objects that divide by 3 instances, found 4 objects" in departures[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_stands_in_a_request_is_checked_without_an_error(job: dict, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(paths_in(job)))
    value = data.draw(st.just(GONE) | JSON_VALUES)
    request = edited(job, (path, value))
    for document in (request, request.get("InputDataConfig"), value):
        assert all(isinstance(text, str) and text for text in (*check_document(document), *advise_on(document)))


# --- the same requests elsewhere ----------------------------------------------------------------------------------


def test_botocore_takes_what_passes_here_and_misses_much_that_does_not(job: dict) -> None:
    shape = _service().operation_model("CreateTrainingJob").input_shape

    def complaint(request: dict) -> str:
        return ParamValidator().validate(request, shape).generate_report()

    assert complaint(job) == ""
    assert "Unknown parameter" in complaint(edited(job, ("Colour", "red")))
    assert complaint(edited(job, ("ResourceConfig.InstanceType", "ml.g5.13xlarge"))) == ""


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_a_server_takes_the_request_as_it_is(job: dict, endpoint: str) -> None:
    client = boto3.Session().client("sagemaker", endpoint_url=endpoint)
    client.create_training_job(**job)
    found = client.describe_training_job(TrainingJobName=job["TrainingJobName"])
    for name in ("InputDataConfig", "ResourceConfig", "HyperParameters", "StoppingCondition", "CheckpointConfig"):
        assert found[name] == job[name]


# --- patterns -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (r"a.b", "a\nb", False),
        (r"a.b", "a\u2028b", False),
        (r"a.b", "axb", True),
        (r"[.]x", ".x", True),
        (r"[.]x", "yx", False),
        (r"\.x", "yx", False),
        (r"[\p{Alnum}\-]+", "aZ0-", True),
        (r"[\p{Alnum}\-]+", "é", False),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Größe 1:2", True),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "a|b", False),
    ],
)
def test_patterns_of_java_in_python(pattern: str, text: str, fits: bool) -> None:
    assert bool(re.fullmatch(translate_pattern(pattern), text)) is fits


def walk_patterns(shape, visit: Callable[[str], None], seen: set[str]) -> None:
    if shape.name in seen:
        return
    seen.add(shape.name)
    if "pattern" in shape.metadata:
        visit(shape.metadata["pattern"])
    parts = {"structure": lambda: shape.members.values(), "list": lambda: [shape.member],
             "map": lambda: [shape.key, shape.value]}  # fmt: skip
    for part in parts.get(shape.type_name, list)():
        walk_patterns(part, visit, seen)


@pytest.mark.parametrize("operation", ["CreateTrainingJob", "CreatePipeline"])
def test_every_pattern_of_the_requests_is_one_that_python_can_express(operation: str) -> None:
    found: list[str] = []
    walk_patterns(_service().operation_model(operation).input_shape, found.append, set())
    assert len(found) >= 8
    for pattern in found:
        re.compile(translate_pattern(pattern))


def test_what_is_no_request_at_all() -> None:
    for value in (None, 5, "x", []):
        (fault,) = request_faults("CreateTrainingJob", value)
        assert fault == f"the request: expected an object, found {value!r}"
