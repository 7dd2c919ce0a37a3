"""Why a job is slow: recorded figures of each case, and what SageMaker and CloudWatch are asked."""

import datetime
import json
import os
from typing import Any

import pytest
from botocore.session import Session
from botocore.stub import ANY, Stubber

from packer.cli import sagemaker_command
from packer.errors import OptionsError, StoreError
from packer.sagemaker import job_metrics
from packer.sagemaker.diagnosis import diagnose, read_wait_share
from packer.sagemaker.instance_types import num_cpus, with_more_cpus
from packer.sagemaker.job_metrics import JobFigures, measure_job
from tests.cli.commands import shardpack
from tests.sagemaker.conftest import IMAGE, ROLE

START = datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.UTC)
NOW = START + datetime.timedelta(days=1)
DEFAULTS: dict[str, Any] = {
    "job": "birds", "status": "Completed", "instance_type": "ml.g5.12xlarge", "modes": ("FastFile",), "download_s": 5.0,
    "training_s": 1000.0, "gpu": 0.95, "cpu": 0.4, "memory": 0.5, "disk": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "wait_share", "expected"),
    [
        ({}, None, [("GPUs are busy", "GPU 95%, CPU 40%", "no change of the input")]),
        ({"gpu": 0.8}, None, []),
        (
            {"gpu": 0.3, "cpu": 0.96}, None,
            # 48 vCPUs at 96 % feed 30 %: 138 of them would feed 90 %.
            [("low GPU, busy CPU: decoding", "GPU 30%, CPU 96%",
              "of 93 vCPUs more for each instance (it has 48); or ml.g5.24xlarge (96 vCPUs)")],
        ),
        (
            {"gpu": 0.3, "cpu": 0.96, "instance_type": "ml.p4d.24xlarge"}, 0.6,
            [("low GPU, busy CPU: decoding", "GPU 30%, CPU 96%, waiting for data 60%", "instance (it has 96)")],
        ),
        (
            {"gpu": 0.3, "cpu": 0.2}, None,
            [("GPU and CPU idle: too few threads or a slow store", "GPU 30%, CPU 20%", "`cache` on the instance's")],
        ),
        (
            {"gpu": 0.3, "cpu": 0.2, "modes": ("File",)}, None,
            [("GPU and CPU idle: too few threads or a slow store", "GPU 30%, CPU 20%", "more instances")],
        ),
        (
            {"gpu": 0.3, "cpu": 0.2}, 0.02,
            [("GPUs wait, but not for data", "waiting for data 2%", "larger batches")],
        ),
        (
            {"download_s": 600.0}, None,
            [("long start: download", "600 s of 1600 s (38%) were download", "`mode=FastFile`"),
             ("GPUs are busy", "", "")],
        ),
        ({"download_s": 600.0, "training_s": 90_000.0, "gpu": 0.8}, None, []),
        ({"download_s": 40.0, "training_s": 40.0, "gpu": 0.8}, None, []),
        ({"gpu": None, "cpu": 0.9, "instance_type": "ml.c5.9xlarge"}, None,
         [("processors train", "CPU 90%", "ml.c5.9xlarge has none")]),
        ({"gpu": None, "cpu": None, "memory": None, "disk": None}, None, []),
        (
            {"gpu": 0.8, "memory": 0.97, "disk": 0.95}, None,
            [("memory is nearly full", "memory 97%", "`threads`"), ("disk is nearly full", "disk 95%", "`volume_gb`")],
        ),
    ],
)  # fmt: skip
def test_which_rule_applies(values: dict, wait_share: float | None, expected: list[tuple[str, str, str]]) -> None:
    found = diagnose(JobFigures(**DEFAULTS | values), wait_share)
    assert [finding.rule for finding in found] == [rule for rule, _, _ in expected]
    for finding, (_, figure, advice) in zip(found, expected, strict=True):
        assert figure in finding.figure
        assert advice in finding.advice


@pytest.mark.parametrize(
    ("name", "cpus", "larger"),
    [
        ("ml.g5.xlarge", 4, "ml.g5.2xlarge"), ("ml.g5.12xlarge", 48, "ml.g5.24xlarge"), ("ml.g5.48xlarge", 192, ""),
        ("ml.c5.18xlarge", 72, ""), ("ml.m5.large", 2, ""), ("ml.p4d.24xlarge", 96, ""), ("odd", 0, ""),
    ],
)  # fmt: skip
def test_processors_of_types(name: str, cpus: int, larger: str) -> None:
    assert (num_cpus(name), with_more_cpus(name)) == (cpus, larger)


def test_events_of_the_trainer() -> None:
    events = [
        {"event": "start", "time_s": 100.0, "model": "resnet50"},
        {"event": "step", "time_s": 110.0, "step_s": 0.1, "data_wait_s": 4.0},
        {"event": "step", "time_s": 120.0, "step_s": 0.1, "data_wait_s": 5.0},
        {"event": "epoch", "time_s": 140.0, "data_wait_s": 9.0},
    ]
    lines = b"\n".join(json.dumps(event).encode() for event in events)
    assert read_wait_share(lines, name="e") == pytest.approx(9 / 20)
    assert read_wait_share(b"", name="e") is None
    with pytest.raises(OptionsError, match="expected events of the trainer, one JSON object a line, in e.jsonl: "):
        read_wait_share(b"x", name="e.jsonl")


# --- what AWS is asked --------------------------------------------------------------------------------------------


def at(seconds: float) -> datetime.datetime:
    return START + datetime.timedelta(seconds=seconds)


def description(**members: Any) -> dict:
    return {
        "TrainingJobName": "birds", "TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/birds",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/m"}, "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed", "RoleArn": ROLE, "CreationTime": at(-300),
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "ResourceConfig": {"InstanceType": "ml.g5.12xlarge", "InstanceCount": 2, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 9},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {}, "InputMode": "FastFile"}],
        "SecondaryStatusTransitions": [
            {"Status": "Downloading", "StartTime": at(-120), "EndTime": at(0)},
            {"Status": "Training", "StartTime": at(0), "EndTime": at(600)},
        ],
        **members,
    }  # fmt: skip


class Aws:
    """Clients that answer as was recorded, and check each question against AWS's description of its services."""

    def __init__(self) -> None:
        session = Session()
        keys = {"region_name": "us-east-1", "aws_access_key_id": "k", "aws_secret_access_key": "s"}
        self.clients = [session.create_client(name, **keys) for name in ("sagemaker", "cloudwatch")]
        self.sagemaker, self.cloudwatch = (Stubber(client) for client in self.clients)
        self.sagemaker.activate()
        self.cloudwatch.activate()

    def measured(self, values: dict[str, list[float]], *pages: dict[str, list[float]]) -> None:
        for index, page in enumerate((values, *pages)):
            token = {"NextToken": "more"} if index < len(pages) else {}
            asked = {"MetricDataQueries": ANY, "StartTime": at(0), "EndTime": at(600)}
            results = [
                {"Id": name, "Values": found, "Timestamps": [START] * len(found)} for name, found in page.items()
            ]
            self.cloudwatch.add_response(
                "get_metric_data", {"MetricDataResults": results, **token},
                {**asked, **({"NextToken": "more"} if index else {})},
            )  # fmt: skip


@pytest.fixture
def aws() -> Aws:
    return Aws()


def test_shares_are_of_all_processors_and_gpus(aws: Aws) -> None:
    aws.sagemaker.add_response("describe_training_job", description(), {"TrainingJobName": "birds"})
    aws.measured(
        {"c1": [4800.0, 2400.0], "g1": [400.0, 200.0], "m1": [50.0]}, {"c2": [1200.0], "g2": [100.0], "d1": [9.0]}
    )
    figures = measure_job("birds", *aws.clients, now=NOW)
    assert figures == JobFigures(
        job="birds", status="Completed", instance_type="ml.g5.12xlarge", modes=("FastFile",), download_s=120.0,
        training_s=600.0, gpu=0.5, cpu=0.5, memory=0.5, disk=0.09,
    )  # fmt: skip


def test_in_a_cluster_of_two_kinds_only_hosts_with_gpus_count(aws: Aws) -> None:
    groups = [
        {"InstanceGroupName": "cpu", "InstanceType": "ml.c5.9xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "gpu", "InstanceType": "ml.g5.12xlarge", "InstanceCount": 1},
    ]
    found = description(
        ResourceConfig={"InstanceGroups": groups, "VolumeSizeInGB": 1},
        HyperParameters={"sagemaker_distribution_instance_groups": '["gpu"]'},
    )
    aws.sagemaker.add_response("describe_training_job", found)
    aws.measured({"c1": [3600.0], "c2": [480.0], "g2": [40.0]})
    figures = measure_job("birds", *aws.clients, now=NOW)
    assert (figures.instance_type, figures.cpu, figures.gpu) == ("ml.g5.12xlarge", 0.1, 0.1)


@pytest.mark.parametrize(("days", "period"), [(1, 60), (20, 300), (90, 3600)])
def test_old_jobs_are_asked_for_in_longer_steps(aws: Aws, days: int, period: int) -> None:
    seen: list[dict] = []
    aws.clients[1].meta.events.register("before-parameter-build", lambda params, **_: seen.append(params))
    aws.sagemaker.add_response("describe_training_job", description())
    aws.measured({})
    assert measure_job("birds", *aws.clients, now=START + datetime.timedelta(days=days)).cpu is None
    (asked,) = seen
    stats = [query["MetricStat"] for query in asked["MetricDataQueries"]]
    assert {stat["Period"] for stat in stats} == {period}
    assert [stat["Metric"]["Dimensions"][0]["Value"] for stat in stats[::4]] == ["birds/algo-1", "birds/algo-2"]
    assert {stat["Metric"]["MetricName"] for stat in stats} == set(job_metrics.METRICS)


def test_jobs_that_tell_nothing(aws: Aws) -> None:
    waiting = description(SecondaryStatus="Starting", SecondaryStatusTransitions=[])
    aws.sagemaker.add_response("describe_training_job", waiting)
    with pytest.raises(OptionsError, match="expected a job whose program has begun, got birds, which is Starting"):
        measure_job("birds", *aws.clients, now=NOW)
    aws.sagemaker.add_client_error("describe_training_job", "ValidationException", "Requested resource not found.")
    with pytest.raises(OptionsError, match="expected the name of a training job, got x: Requested resource not found"):
        measure_job("x", *aws.clients, now=NOW)
    aws.sagemaker.add_client_error("describe_training_job", "AccessDeniedException", "no right")
    with pytest.raises(StoreError, match="x: expected to read its description and metrics, but AWS says: no right"):
        measure_job("x", *aws.clients, now=NOW)


def test_without_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(OptionsError, match="`diagnose`: expected credentials and a region as boto3 finds them, but"):
        job_metrics.open_clients(None)


def test_the_command(aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path, capfd) -> None:
    monkeypatch.setattr(job_metrics, "open_clients", lambda profile: tuple(aws.clients))
    events = tmp_path / "events.jsonl"
    events.write_text('{"event":"start","time_s":0}\n{"event":"step","time_s":10,"step_s":1,"data_wait_s":6}\n')
    for as_json in (False, True):
        aws.sagemaker.add_response("describe_training_job", description())
        aws.measured({"c1": [4700.0], "g1": [100.0]})
        more = ("--json",) if as_json else ()
        code, out, errors = shardpack(capfd, "sagemaker", "--diagnose", "birds", "--events", events, *more)
        assert (code, errors) == (0, "")
        if as_json:
            found = json.loads(out)
            assert (found["gpu"], found["wait_share"]) == (0.25, 0.6)
            assert "--data-group of" in found["findings"][0]["advice"]
        else:
            first, rule, advice = out.splitlines()
            assert (
                first == "birds (Completed, ml.g5.12xlarge): download 2 min 0 s, program 10 min 0 s; GPU 25%, CPU 98%"
            )
            assert rule == "low GPU, busy CPU: decoding: GPU 25%, CPU 98%, waiting for data 60%"
            assert advice.startswith(
                "  pack with a smaller --resize, such as 256 for crops of 224; or a --data-group of"
            )
    code, _, errors = shardpack(capfd, "sagemaker", "--diagnose", "birds", "--events", tmp_path / "none")
    assert (code, "--events: expected a file of events, but" in errors) == (2, True)
    assert sagemaker_command._MAX_EVENT_BYTES > 1_000_000
