"""Training jobs: hyperparameters as the toolkit reads them, metrics as the trainer prints them, mixed clusters."""

import dataclasses
import json
import re

import msgspec
import pytest
from botocore.session import Session
from botocore.validate import ParamValidator
from hypothesis import assume, given
from hypothesis import strategies as st

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan, Cluster, plan_channels
from packer.channels.instance_groups import choose_groups
from packer.errors import OptionsError
from packer.localjob.job_spec import GRACE_S as SAGEMAKER_GRACE_S
from packer.parsing import as_json_text
from packer.sagemaker.input_data import DataPlace, FileSystem
from packer.sagemaker.rules import training_job_faults
from packer.sagemaker.training_request import METRIC_DEFINITIONS, JobSpec, build_job
from packer.trainer.core.metrics import EpochResult, EvaluationResult, format_epoch
from tests.sagemaker.conftest import IMAGE, ROLE
from tests.tools.manifests import make_manifest

CLUSTER = Cluster(instances=2, gpus_per_instance=4)
PLACE = DataPlace(root="s3://bucket/set")
SHAPE = Session().get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
SPEC = JobSpec(name="first", image=IMAGE, role=ROLE, output="s3://bucket/out", instance_type="ml.g5.12xlarge")


def plans(*splits: str, mode: InputMode = InputMode.PIPE) -> tuple[ChannelPlan, ...]:
    return plan_channels(make_manifest(dict.fromkeys(splits, 8)), CLUSTER, mode=mode)


def test_hyperparameters_are_json_texts() -> None:
    spec = dataclasses.replace(SPEC, hyperparameters=(("epochs", "90"), ("note", "first try"), ("seed", '"7"')))
    hyperparameters = build_job(spec, plans("train", "val"), PLACE, CLUSTER)["HyperParameters"]
    assert all(isinstance(text, str) for text in hyperparameters.values())
    assert {name: json.loads(text) for name, text in hyperparameters.items()} == {
        "export": "/opt/ml/model",
        "metrics": "/opt/ml/output/data/metrics.json",
        "eval-split": "val",
        "epochs": 90,
        "note": "first try",
        "seed": "7",
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": "/opt/shardpack",
        "sagemaker_mpi_enabled": True,
        "sagemaker_mpi_num_of_processes_per_host": 4,
        "sagemaker_mpi_custom_mpi_options": "-mca odls_base_sigkill_timeout 20",
    }


def test_ranks_are_gone_before_sagemaker_kills_the_container() -> None:
    """Open MPI waits twice as long as the option says."""
    hyperparameters = build_job(SPEC, plans("train"), PLACE, CLUSTER)["HyperParameters"]
    wait_s = int(json.loads(hyperparameters["sagemaker_mpi_custom_mpi_options"]).split()[-1])
    assert 0 < wait_s < SAGEMAKER_GRACE_S / 2


@pytest.mark.parametrize(
    ("value", "text"),
    [("3", "3"), ("1e-3", "1e-3"), ("true", "true"), ("007", '"007"'), ("a b", '"a b"'), ('"x"', '"x"'), ("", '""')],
)
def test_values_that_are_json_and_others(value: str, text: str) -> None:
    assert as_json_text(value) == text


def test_checkpoints_and_spot_capacity() -> None:
    job = build_job(SPEC, plans("train"), PLACE, CLUSTER)
    assert not {"CheckpointConfig", "EnableManagedSpotTraining", "VpcConfig"} & set(job)
    assert not {"model-dir", "eval-split", "split"} & set(job["HyperParameters"])
    spec = dataclasses.replace(SPEC, checkpoint="s3://bucket/ck", max_run_s=60, max_wait_s=90)
    job = build_job(spec, plans("train"), PLACE, CLUSTER)
    assert job["CheckpointConfig"] == {"S3Uri": "s3://bucket/ck", "LocalPath": "/opt/ml/checkpoints"}
    assert json.loads(job["HyperParameters"]["model-dir"]) == "/opt/ml/checkpoints"
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90}
    with pytest.raises(OptionsError, match=r"`max_wait_s`: expected at least `max_run_s` \(60\), got 59"):
        dataclasses.replace(spec, max_wait_s=59)


@pytest.mark.parametrize(
    ("instance_type", "is_taken"),
    [
        ("ml.c5.9xlarge", True),
        ("ml.p3.16xlarge", True),
        ("ml.m5.large", True),
        *((name, False) for name in ("ml.p3dn.24xlarge", "ml.g5.xlarge", "ml.p4d.24xlarge")),
        *((name, False) for name in ("ml.p5.48xlarge", "ml.g4dn.xlarge", "ml.g6e.xlarge", "ml.trn1.2xlarge")),
    ],
)
def test_a_key_is_for_output_and_for_disks_that_take_one(instance_type: str, is_taken: bool) -> None:
    spec = dataclasses.replace(SPEC, kms_key="alias/birds", instance_type=instance_type)
    job = build_job(spec, plans("train"), PLACE, CLUSTER)
    assert job["OutputDataConfig"]["KmsKeyId"] == "alias/birds"
    assert job["ResourceConfig"].get("VolumeKmsKeyId") == ("alias/birds" if is_taken else None)
    assert "KmsKeyId" not in build_job(SPEC, plans("train"), PLACE, CLUSTER)["OutputDataConfig"]


def test_the_splits_that_the_trainer_reads() -> None:
    job = build_job(SPEC, plans("train-a", "test"), PLACE, CLUSTER)
    assert json.loads(job["HyperParameters"]["split"]) == "train-a"
    assert json.loads(job["HyperParameters"]["eval-split"]) == "test"
    with pytest.raises(OptionsError, match=r"expected split to be one of no split in the channels, got none.*`splits`"):
        build_job(SPEC, plans("val"), PLACE, CLUSTER)
    spec = dataclasses.replace(SPEC, hyperparameters=(("eval-split", "test"),))
    job = build_job(spec, plans("train", "val", "test", mode=InputMode.FILE), PLACE, CLUSTER)
    assert json.loads(job["HyperParameters"]["eval-split"]) == "test"
    with pytest.raises(OptionsError, match="expected eval-split to be one of val in the channels, got test"):
        build_job(spec, plans("train", "val"), PLACE, CLUSTER)
    for splits, unread in ((("train", "val", "test"), "test0"), (("train", "train-b"), "train_b0")):
        with pytest.raises(
            OptionsError, match=f"channel '{unread}': expected one that the trainer reads, since a Pipe"
        ):
            build_job(SPEC, plans(*splits), PLACE, CLUSTER)
        assert build_job(SPEC, plans(*splits, mode=InputMode.FAST_FILE), PLACE, CLUSTER)


@pytest.mark.parametrize(("data_group", "readers"), [(None, ["gpu"]), ("cpu", ["gpu", "cpu"])])
def test_a_cluster_of_two_kinds(data_group: str | None, readers: list[str]) -> None:
    groups = choose_groups(("gpu=ml.p4d.24xlarge:2", "cpu=ml.c5.9xlarge:3"), "gpu", data_group)
    spec = dataclasses.replace(SPEC, instance_type="", groups=groups)
    place = DataPlace(root="s3://bucket/set", groups=groups.readers)
    job = build_job(spec, plans("train", mode=InputMode.FAST_FILE), place, CLUSTER)
    assert job["ResourceConfig"] == {
        "VolumeSizeInGB": 100,
        "InstanceGroups": [
            {"InstanceGroupName": "gpu", "InstanceType": "ml.p4d.24xlarge", "InstanceCount": 2},
            {"InstanceGroupName": "cpu", "InstanceType": "ml.c5.9xlarge", "InstanceCount": 3},
        ],
    }
    assert json.loads(job["HyperParameters"]["sagemaker_distribution_instance_groups"]) == ["gpu"]
    sources = [channel["DataSource"]["S3DataSource"] for channel in job["InputDataConfig"]]
    assert [source["InstanceGroupNames"] for source in sources] == [readers, readers]
    assert job["HyperParameters"].get("feed") == ('"group:cpu"' if data_group else None)
    assert training_job_faults(job) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"role": "me"}, "the training job: RoleArn: expected at least 20 characters, found 2"),
        ({"instance_type": "ml.huge"}, "the training job: ResourceConfig.InstanceType: expected one of ml"),
        ({"name": "a_b"}, "the training job: TrainingJobName: expected text that matches"),
        ({"output": "/out"}, "the training job: OutputDataConfig.S3OutputPath: expected text that matches"),
    ],
)
def test_jobs_that_sagemaker_does_not_take(values: dict, said: str) -> None:
    with pytest.raises(OptionsError, match=said):
        build_job(dataclasses.replace(SPEC, **values), plans("train"), PLACE, CLUSTER)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"instance_type": ""}, "`instance_type`: expected either it or `instance_group`, got both or none"),
        ({"subnets": ("subnet-1",)}, "`subnets`: expected together with `security_groups`"),
        ({"image": ""}, "`image`: expected a value for a training job, got none"),
        ({"output": ""}, "`output`: expected a value"),
    ],
)
def test_specs_that_lack_something(values: dict, said: str) -> None:
    with pytest.raises(OptionsError, match=said):
        dataclasses.replace(SPEC, **values)


# --- metrics ------------------------------------------------------------------------------------------------------

EVALUATION = EvaluationResult(loss=1.25, accuracy=0.875, records=100, steps=3)
RESULT = EpochResult(
    epoch=2, steps=14, loss=2.302585, learning_rate=0.1, images_per_second=1234.5, evaluation=EVALUATION
)
EXPECTED = {
    "train:loss": "2.3026",
    "train:images_per_second": "1234",
    "validation:loss": "1.2500",
    "validation:accuracy": "0.8750",
}


def metrics_in(line: str) -> dict[str, str]:
    """Return what SageMaker would take from a line of the log."""
    found = {name: re.search(regex, line) for name, regex in METRIC_DEFINITIONS}
    return {name: match[1] for name, match in found.items() if match}


@pytest.mark.parametrize("prefix", ["", "[1,0]<stdout>:", "[1,mpirank:0,algo-1]<stdout>:"])
def test_metrics_are_read_from_the_lines_of_one_rank(prefix: str) -> None:
    line = prefix + format_epoch(RESULT, rank=0, world=16, epochs=90)
    assert metrics_in(line) == EXPECTED
    for rank in (1, 10, 100):
        assert metrics_in(prefix + format_epoch(RESULT, rank=rank, world=160, epochs=90)) == {}


def test_metrics_of_an_epoch_without_evaluation() -> None:
    line = format_epoch(msgspec.structs.replace(RESULT, evaluation=None), rank=0, world=1, epochs=1)
    assert metrics_in(line) == {name: EXPECTED[name] for name in ("train:loss", "train:images_per_second")}


@pytest.mark.parametrize("loss", ["nan", "inf", "-inf"])
def test_a_loss_that_is_no_number_is_a_metric_too(loss: str) -> None:
    result = EpochResult(epoch=1, steps=1, loss=float(loss), learning_rate=0.1, images_per_second=5)
    line = format_epoch(result, rank=0, world=1, epochs=1)
    assert metrics_in(line) == {"train:loss": loss, "train:images_per_second": "5"}


# --- every request ------------------------------------------------------------------------------------------------


@given(
    shape=st.builds(Cluster, instances=st.integers(1, 4), gpus_per_instance=st.integers(1, 8)),
    mode=st.sampled_from(InputMode),
    splits=st.sets(st.sampled_from(["val", "test", "train-b", "x1"]), max_size=1),
    checkpoint=st.booleans(),
    wait_s=st.sampled_from([0, 86_400]),
)
def test_every_request_passes_here_and_in_botocore(
    shape: Cluster, mode: InputMode, splits: set[str], checkpoint: bool, wait_s: int
) -> None:
    assume(mode is not InputMode.PIPE or "train-b" not in splits)
    manifest = make_manifest(dict.fromkeys(("train", *splits), shape.world))
    mounted = FileSystem(file_system_id="fs-01234567", file_system_type="EFS", directory_path="/set")
    place = dataclasses.replace(PLACE, file_system=mounted if mode is InputMode.FILE_SYSTEM else None)
    spec = dataclasses.replace(
        SPEC, checkpoint="s3://bucket/ck" if checkpoint else "", max_wait_s=wait_s,
        subnets=("subnet-1",), security_groups=("sg-1",),
    )  # fmt: skip
    request = build_job(spec, plan_channels(manifest, shape, mode=mode), place, shape)
    assert training_job_faults(request) == []
    assert ParamValidator().validate(request, SHAPE).generate_report() == ""
