"""Requests of each service: sound by botocore's model, what they say, and how the service's answers are read.

The answers are those of AWS's documentation; botocore's Stubber holds them against the model as well.
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import Stubber

from packer.errors import JobError, OptionsError
from packer.submitting.aws_service import AwsService
from packer.submitting.job_files import StagedJob
from packer.submitting.packing_job import stage_packing
from packer.submitting.services import TARGETS
from packer.submitting.submit_options import SubmitOptions, SubmitTarget
from packer.submitting.submit_run import _send, check_requests
from packer.submitting.target import JobState, SentJob
from tests.submitting.conftest import ROLE

VALUES = {"source": "s3://photos/all", "dest": "s3://photos/packed", "gpus": 16}
OWN: dict[SubmitTarget, dict[str, Any]] = {
    SubmitTarget.EMR: {"role": "nodes"},
    SubmitTarget.EMR_SERVERLESS: {"role": ROLE, "application": "00f1abcd"},
    SubmitTarget.EMR_EKS: {"role": ROLE, "virtual_cluster": "abc123"},
    SubmitTarget.GLUE: {"role": ROLE},
}
PACKING = list(OWN)
STAGED = StagedJob(
    program="s3://b/1/emr_pack.py", config="s3://b/2/pack.json", package="s3://b/3/env.tar.gz", digest="ab" * 32
)


def options_of(target: SubmitTarget, **more: Any) -> SubmitOptions:
    return SubmitOptions(**{"target": target, "staging": "s3://b", "region": "eu-west-1", **OWN[target], **more})


def build(target: SubmitTarget, staged: StagedJob = STAGED, **more: Any) -> list[dict[str, Any]]:
    """Return the parameters of a target's requests, which are sound by the service's model."""
    requests = TARGETS[target].build(options_of(target, **more), staged)
    check_requests(TARGETS[target].service, requests)
    return [request.parameters for request in requests]


def spark_arguments(target: SubmitTarget, **more: Any) -> list[str]:
    (parameters,) = build(target, **more)
    if target is SubmitTarget.EMR:
        return list(parameters["Steps"][0]["HadoopJarStep"]["Args"])
    (driver,) = parameters["jobDriver"].values()
    return str(driver["sparkSubmitParameters"]).split()


@pytest.mark.parametrize("target", PACKING)
def test_requests_name_the_staged_files_and_nothing_of_this_machine(target: SubmitTarget) -> None:
    text = str(build(target))
    for uri in (STAGED.program, STAGED.config, STAGED.package):
        assert uri in text


@pytest.mark.parametrize("target", PACKING[:3])
def test_spark_gets_memory_beside_the_heap_and_the_users_settings_on_top(target: SubmitTarget) -> None:
    arguments = spark_arguments(target, conf=("spark.speculation=false", "spark.task.maxFailures=8"), executor_cores=8)
    settings = dict(text.split("=", 1) for text in arguments if text.startswith("spark."))
    assert int(settings["spark.executor.memoryOverhead"][:-1]) >= 8 * 300
    assert settings["spark.executor.cores"] == "8"
    assert settings["spark.speculation"] == "false"
    assert settings["spark.task.maxFailures"] == "8"
    assert [value for name, value in settings.items() if name.endswith("AWS_DEFAULT_REGION")] == ["eu-west-1"]
    assert all(arguments[at - 1] == "--conf" for at, text in enumerate(arguments) if text.startswith("spark."))


def test_the_cluster_ends_with_its_step_and_spot_nodes_are_beside_the_core() -> None:
    (cluster,) = build(SubmitTarget.EMR, spot_tasks=5, instances=3, subnet="subnet-1")
    groups = cluster["Instances"]["InstanceGroups"]
    assert [(group["InstanceRole"], group["InstanceCount"], group["Market"]) for group in groups] == [
        ("MASTER", 1, "ON_DEMAND"),
        ("CORE", 3, "ON_DEMAND"),
        ("TASK", 5, "SPOT"),
    ]
    assert cluster["Instances"]["KeepJobFlowAliveWhenNoSteps"] is False
    assert cluster["Instances"]["Ec2SubnetId"] == "subnet-1"
    assert [step["ActionOnFailure"] for step in cluster["Steps"]] == ["TERMINATE_CLUSTER"]


def test_serverless_workers_are_of_a_size_that_exists() -> None:
    for cores in (1, 2, 4, 8, 16):
        arguments = spark_arguments(SubmitTarget.EMR_SERVERLESS, executor_cores=cores)
        sizes = [int(text.split("=")[1][:-1]) for text in arguments if ".memory" in text]
        assert sum(sizes) == 2048 * cores
    with pytest.raises(OptionsError, match=r"`executor_cores`: expected one of 1, 2, 4, 8, 16, got 3"):
        build(SubmitTarget.EMR_SERVERLESS, executor_cores=3)


def test_glue_installs_a_wheel_and_unpacks_an_archive() -> None:
    wheel = StagedJob(program="s3://b/p.py", config="s3://b/c.json", package="s3://b/x-0.1.0-py3-none-any.whl")
    job, run = build(SubmitTarget.GLUE, wheel, conf=("spark.a=1", "spark.b=2"))
    assert run["JobName"] == job["Name"]
    assert run["Arguments"]["--additional-python-modules"] == wheel.package
    assert run["Arguments"]["--conf"] == "spark.a=1 --conf spark.b=2"
    _, run = build(SubmitTarget.GLUE, wheel, modules="pillow==13.0.0,numpy==2.4.6")
    assert run["Arguments"]["--additional-python-modules"] == f"pillow==13.0.0,numpy==2.4.6,{wheel.package}"
    with pytest.raises(OptionsError, match="`modules`: expected with a wheel"):
        build(SubmitTarget.GLUE, modules="pillow==13.0.0")
    assert build(SubmitTarget.GLUE)[1]["Arguments"]["--python-virtual-env"] == STAGED.package
    (run,) = build(SubmitTarget.GLUE, glue_job="mine", role=None)
    assert run["JobName"] == "mine"


@pytest.mark.parametrize(
    ("target", "more", "problem"),
    [
        (SubmitTarget.EMR, {"role": None}, "`role`: expected a value with `target=emr`, got none"),
        (SubmitTarget.EMR_SERVERLESS, {"application": "UPPER"}, "emr-serverless StartJobRun: applicationId: expected"),
        (SubmitTarget.EMR_SERVERLESS, {"role": "not-an-arn"}, "executionRoleArn: expected"),
        (SubmitTarget.EMR_EKS, {"virtual_cluster": "x" * 65}, "virtualClusterId: expected at most 64"),
        (SubmitTarget.GLUE, {"worker_type": "G.99X"}, "glue CreateJob: WorkerType: expected one of"),
        (SubmitTarget.GLUE, {"glue_job": "mine"}, "`role`: expected without `glue_job`"),
        (SubmitTarget.EMR, {"conf": ("spark.a=b c",)}, "`conf`: expected spark.NAME=VALUE without spaces"),
        (SubmitTarget.EMR, {"conf": ("master=local",)}, "`conf`: expected spark.NAME=VALUE"),
    ],
)
def test_what_the_service_would_refuse_is_refused_here(target: SubmitTarget, more: dict, problem: str) -> None:
    with pytest.raises(OptionsError) as raised:
        build(target, **more)
    assert problem in str(raised.value)


def test_a_wheel_is_not_enough_for_nodes_of_emr() -> None:
    wheel = StagedJob(program="s3://b/p.py", config="s3://b/c.json", package="s3://b/x.whl")
    for target in PACKING[:3]:
        with pytest.raises(OptionsError, match="`package`: expected an archive"):
            build(target, wheel)
    with pytest.raises(OptionsError, match="`package`: expected an archive"):
        build(SubmitTarget.EMR, StagedJob(program="s3://b/p.py", config="s3://b/c.json"))


@pytest.mark.parametrize(
    ("more", "field"),
    [({"source": "/photos"}, "source"), ({"dest": "packed"}, "dest"), ({"class_map": "classes.txt"}, "class_map"),
     ({"profile": "mine"}, "profile"), ({"gpus": 0}, "gpus"), ({"shard_size": "1GB"}, "shard_size")],
)  # fmt: skip
def test_options_that_a_cluster_cannot_follow(more: dict, field: str) -> None:
    with pytest.raises(OptionsError) as raised:
        stage_packing(options_of(SubmitTarget.EMR), {**VALUES, **more}, program="emr_pack.py")
    assert raised.value.field == field


def test_files_are_named_by_their_content(tmp_path: Any) -> None:
    first = stage_packing(options_of(SubmitTarget.EMR), VALUES, program="emr_pack.py")
    turned = stage_packing(options_of(SubmitTarget.EMR), dict(reversed(VALUES.items())), program="emr_pack.py")
    other = stage_packing(options_of(SubmitTarget.EMR, resume=True), VALUES, program="emr_pack.py")
    assert first == turned
    assert first.program == other.program
    assert first.config != other.config
    assert b'"resume":true' in (other.files[1].data or b"")


@pytest.mark.parametrize("code", ["AlreadyExistsException", "IdempotentParameterMismatchException"])
def test_a_job_of_the_same_content_that_is_there_is_used(aws: Any, code: str) -> None:
    """moto makes a second one in silence, and AWS does not."""
    service = AwsService("glue", region=None, profile=None)
    request, *_ = TARGETS[SubmitTarget.GLUE].build(options_of(SubmitTarget.GLUE), STAGED)
    with Stubber(service._client) as stub:
        stub.add_client_error("create_job", code)
        assert _send(service, request)["Name"] == request.parameters["Name"]
        stub.add_client_error("create_job", "AccessDeniedException", "no")
        with pytest.raises(JobError, match="glue CreateJob: AccessDeniedException: no"):
            _send(service, request)


# Each row: a target, the answers of its service one after the other, and what they mean.
ANSWERS: list[tuple[SubmitTarget, list[tuple[str, dict]], JobState]] = [
    (
        SubmitTarget.EMR,
        [
            ("describe_cluster", {"Cluster": {"Status": {"State": "BOOTSTRAPPING"}}}),
            ("list_steps", {"Steps": [{"Status": {"State": "PENDING"}}]}),
        ],
        JobState(name="cluster BOOTSTRAPPING, step PENDING"),
    ),
    (
        SubmitTarget.EMR,
        [
            ("describe_cluster", {"Cluster": {"Status": {"State": "TERMINATING"}}}),
            ("list_steps", {"Steps": [{"Status": {"State": "FAILED", "FailureDetails": {"Reason": "Unknown"}}}]}),
        ],
        JobState(name="FAILED", has_ended=True, reason="Unknown"),
    ),
    (
        SubmitTarget.EMR,
        [
            ("describe_cluster", {"Cluster": {"Status": {
                "State": "TERMINATED_WITH_ERRORS",
                "StateChangeReason": {"Code": "VALIDATION_ERROR", "Message": "Subnet does not exist"}}}}),
            ("list_steps", {"Steps": [{"Status": {"State": "PENDING"}}]}),
        ],
        JobState(name="TERMINATED_WITH_ERRORS", has_ended=True, reason="Subnet does not exist"),
    ),
    (
        SubmitTarget.EMR,
        [
            ("describe_cluster", {"Cluster": {"Status": {"State": "TERMINATING"}}}),
            ("list_steps", {"Steps": [{"Status": {"State": "COMPLETED"}}]}),
        ],
        JobState(name="COMPLETED", has_ended=True, is_ok=True),
    ),
    (
        SubmitTarget.EMR_EKS,
        [("describe_job_run", {"jobRun": {
            "state": "FAILED", "failureReason": "USER_ERROR", "stateDetails": "JobRun failed: exit code 2"}})],
        JobState(name="FAILED", has_ended=True, reason="USER_ERROR: JobRun failed: exit code 2"),
    ),
    (
        SubmitTarget.EMR_EKS,
        [("describe_job_run", {"jobRun": {"state": "COMPLETED"}})],
        JobState(name="COMPLETED", has_ended=True, is_ok=True),
    ),
    (
        SubmitTarget.GLUE,
        [("get_job_run", {"JobRun": {"JobRunState": "FAILED", "ErrorMessage": "SystemExit: shardpack: no items"}})],
        JobState(name="FAILED", has_ended=True, reason="SystemExit: shardpack: no items"),
    ),
    (SubmitTarget.GLUE, [("get_job_run", {"JobRun": {"JobRunState": "WAITING"}})], JobState(name="WAITING")),
    (
        SubmitTarget.GLUE,
        [("get_job_run", {"JobRun": {"JobRunState": "TIMEOUT"}})],
        JobState(name="TIMEOUT", has_ended=True),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("target", "answers", "expected"), ANSWERS)
def test_how_answers_are_read(aws: Any, target: SubmitTarget, answers: list, expected: JobState) -> None:
    service = AwsService(TARGETS[target].service, region=None, profile=None)
    with Stubber(service._client) as stub:
        for method, answer in answers:
            stub.add_response(method, answer)
        assert TARGETS[target].look(service.send, SentJob(job_id="j-1", parent_id="p1")) == expected
