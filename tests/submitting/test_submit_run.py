"""Jobs sent to moto's server and followed there, with uploads to its buckets."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from packer.cli.main import run
from tests.cli.commands import shardpack
from tests.sagemaker.conftest import job  # noqa: F401
from tests.submitting.conftest import BUCKET, ROLE
from tests.tools.buckets import list_keys_of

pytestmark = pytest.mark.slow


@pytest.fixture
def application(aws: Any) -> str:
    client = aws.client("emr-serverless")
    return str(client.create_application(type="SPARK", releaseLabel="emr-7.13.0", name="tests")["applicationId"])


def packing(pack_file: Path, archive: Path) -> tuple[object, ...]:
    return ("--config", pack_file, "--staging", f"s3://{BUCKET}/jobs/", "--package", archive)


def test_glue(aws: Any, pack_file: Path, archive: Path, capfd: Any) -> None:
    command = ("submit", "glue", *packing(pack_file, archive), "--role", ROLE, "--workers", 20)
    code, out, errors = shardpack(capfd, *command, "--json")
    assert code == 0, errors
    result = json.loads(out)
    assert result["state"] == "SUCCEEDED"
    made = aws.client("glue").get_job(JobName=result["in"])["Job"]
    assert (made["Command"]["Name"], made["GlueVersion"], made["NumberOfWorkers"]) == ("glueetl", "5.1", 20)
    keys = list_keys_of(aws.client("s3"), BUCKET)
    assert sorted(key.rpartition("/")[2] for key in keys) == ["environment.tar.gz", "glue_pack.py", "pack.json"]
    (config,) = (key for key in keys if key.endswith("pack.json"))
    body = aws.client("s3").get_object(Bucket=BUCKET, Key=config)["Body"].read()
    assert json.loads(body)["split"] == {"train": 0.9, "val": 0.1}
    assert errors.count("uploading") == 3

    code, out, errors = shardpack(capfd, *command, "--json")  # the same job again: its files and it are there
    assert code == 0, errors
    assert json.loads(out)["in"] == result["in"]
    assert "uploading" not in errors


def test_serverless_and_detach(aws: Any, application: str, pack_file: Path, archive: Path, capfd: Any) -> None:
    command = ("submit", "emr-serverless", *packing(pack_file, archive), "--role", ROLE, "--application", application)
    code, out, errors = shardpack(capfd, *command)
    assert code == 0, errors
    assert out.strip().endswith(": SUCCESS")
    assert "to stop it: aws emr-serverless cancel-job-run --application-id" in errors
    code, out, _ = shardpack(capfd, *command, "--detach")
    assert (code, out.strip().endswith(": sent")) == (0, True)


def test_a_dry_run_sends_and_uploads_nothing(aws: Any, pack_file: Path, archive: Path, capfd: Any) -> None:
    aws.client("s3")  # the endpoint stays, and would answer
    before = len(aws.client("emr").list_clusters()["Clusters"])
    code, out, _ = shardpack(capfd, "submit", "emr", *packing(pack_file, archive), "--role", "nodes", "--dry-run")
    assert code == 0
    shown = json.loads(out)
    assert [request["operation"] for request in shown["requests"]] == ["RunJobFlow"]
    assert list_keys_of(aws.client("s3"), BUCKET) == []
    assert len(aws.client("emr").list_clusters()["Clusters"]) == before


def test_training(aws: Any, job: dict, tmp_path: Path, capfd: Any) -> None:  # noqa: F811
    request = tmp_path / "job.json"
    request.write_text(json.dumps(job))
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="/aws/sagemaker/TrainingJobs")
    stream = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamName": "again-1/algo-1-1700000000"}
    logs.create_log_stream(**stream)
    now_ms = int(time.time() * 1000)
    logs.put_log_events(**stream, logEvents=[{"timestamp": now_ms + 5000, "message": "rank 0/8 epoch 1/90 loss 6.9\n"}])
    code, out, errors = shardpack(capfd, "submit", "sagemaker", "--request", request, "--name", "again-1")
    assert code == 0, errors
    assert out == "sagemaker again-1: Completed\n"
    assert "algo-1: rank 0/8 epoch 1/90 loss 6.9\n" in errors
    sent = aws.client("sagemaker").describe_training_job(TrainingJobName="again-1")
    assert sent["ResourceConfig"]["InstanceType"] == job["ResourceConfig"]["InstanceType"]


def test_a_failure_is_told_with_what_the_program_said(
    aws: Any, application: str, pack_file: Path, archive: Path, capfd: Any, monkeypatch: Any
) -> None:
    """moto fails no job, so its answer is changed on the way; the driver's log is there as EMR puts it."""
    from packer.submitting.serverless_target import ServerlessTarget
    from packer.submitting.target import JobState

    def look(self: ServerlessTarget, send: Any, sent: Any) -> JobState:
        key = f"logs/applications/{application}/jobs/{sent.job_id}/SPARK_DRIVER/stdout.gz"
        text = "packing: 3 of 8\nshardpack: c0/broken.jpg: not_an_image: x (--on-reject fail)\n"
        aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(text.encode()))
        return JobState(name="FAILED", has_ended=True, reason="Job failed. ExitCode: 1")

    monkeypatch.setattr(ServerlessTarget, "look", look)
    command = ("submit", "emr-serverless", *packing(pack_file, archive), "--role", ROLE, "--application", application)
    code, _, errors = shardpack(capfd, *command, "--logs", f"s3://{BUCKET}/logs")
    assert code == 1
    last = errors.splitlines()[-1]
    assert last.startswith("shardpack: c0/broken.jpg: not_an_image: x (--on-reject fail) | Job failed. ExitCode: 1 (")
    assert f"its logs: s3://{BUCKET}/logs/applications/{application}/jobs/" in last


@pytest.mark.parametrize("stops", [False, True])
def test_ctrl_c_leaves_the_job_or_stops_it(aws: Any, pack_file: Path, archive: Path, stops: bool) -> None:
    """moto's cluster waits for ever."""
    words = ["submit", "emr", *packing(pack_file, archive), "--role", "nodes", *["--stop-on-interrupt"] * stops]
    command = [sys.executable, "-m", "packer", *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stderr is not None
    seen = ""
    while "cluster WAITING" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    cluster = seen.split("sent to emr: ")[1].split(";")[0]
    state = aws.client("emr").describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"]
    if stops:
        assert f"the job {cluster} is being stopped\n" in rest
        assert state == "TERMINATED"
    else:
        assert f"goes on; to stop it: aws emr terminate-clusters --cluster-ids {cluster}\n" in rest
        assert state == "WAITING"
    assert rest.endswith("shardpack: interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("emr", "--worker-type", "G.2X"), "--worker-type: expected without --target emr, which has no such thing"),
        (("sagemaker",), "--request: expected a value with --target sagemaker, got none"),
        (("glue",), "--config: expected a file of the options of pack, got none"),
        (("batch",), "expected one of emr, emr-serverless, emr-eks, glue, sagemaker, got 'batch'"),
        (("emr", "--profile", "nobody", "--config", "CONFIG"), "--profile: expected the name of an AWS profile"),
    ],
)
def test_bad_options(aws: Any, pack_file: Path, capfd: Any, arguments: tuple[str, ...], problem: str) -> None:
    words = [str(pack_file) if word == "CONFIG" else word for word in arguments]
    code, _, errors = shardpack(capfd, "submit", *words)
    assert code == 2
    assert problem in errors
    assert errors.count("\n") == 1


def test_a_refusal_of_the_service_is_one_line(aws: Any, pack_file: Path, archive: Path, capfd: Any) -> None:
    command = ("submit", "emr-serverless", *packing(pack_file, archive), "--role", ROLE, "--application", "00none")
    code, _, errors = shardpack(capfd, *command)
    assert code == 1
    assert errors.splitlines()[-1].startswith("shardpack: emr-serverless StartJobRun: ResourceNotFoundException: ")


def test_nothing_is_uploaded_for_a_request_that_cannot_be_sent(
    aws: Any, pack_file: Path, archive: Path, capfd: Any
) -> None:
    command = ("submit", "emr-serverless", *packing(pack_file, archive), "--role", ROLE, "--application", "UPPER")
    code, _, errors = shardpack(capfd, *command)
    assert code == 2
    assert errors.startswith("shardpack: emr-serverless StartJobRun: applicationId: expected text that matches")
    assert list_keys_of(aws.client("s3"), BUCKET) == []


def test_without_credentials(aws: Any, pack_file: Path, archive: Path, monkeypatch: Any, capfd: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, _, errors = shardpack(capfd, "submit", "glue", *packing(pack_file, archive), "--role", ROLE)
    assert code == 1
    assert "credentials" in errors.splitlines()[-1]
    assert os.environ.get("AWS_ACCESS_KEY_ID") is None
    assert run(["submit", "glue", "--help"]) == 0
