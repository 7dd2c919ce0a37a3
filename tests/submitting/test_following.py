"""Watching a job: what is said, what a fault of the network does, and that each line of a log is said once."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import pytest

from packer.errors import JobError
from packer.specs import StoreOptions
from packer.submitting.aws_service import RefusedError
from packer.submitting.cloud_logs import CloudLogs
from packer.submitting.ended_logs import find_last_error
from packer.submitting.following import Watch, follow
from packer.submitting.target import BucketLogs, JobState, LogPlace, SentJob
from tests.submitting.conftest import BUCKET

JOB = SentJob(job_id="r1", parent_id="app")
DONE = JobState(name="SUCCESS", has_ended=True, is_ok=True)


def watch(states: list[JobState | JobError], said: list[str], logs: CloudLogs | None = None) -> Watch:
    left = iter(states)

    def look() -> JobState:
        state = next(left)
        if isinstance(state, JobError):
            raise state
        return state

    return Watch(look=look, logs=logs, say=said.append, poll_s=0, sleep=lambda _: None)


def test_each_state_is_said_once() -> None:
    said: list[str] = []
    states = [JobState(name="PENDING"), JobState(name="RUNNING"), JobState(name="RUNNING"), DONE]
    assert follow(JOB, watch([*states], said)) == DONE
    assert said == ["app/r1: PENDING", "app/r1: RUNNING", "app/r1: SUCCESS"]


def test_a_network_that_comes_back_does_not_end_the_watch() -> None:
    said: list[str] = []
    assert (
        follow(JOB, watch([JobError("no route"), JobState(name="RUNNING"), JobError("no route"), DONE], said)) == DONE
    )
    assert said[0] == "cannot ask how app/r1 stands, trying again: no route"


def test_a_network_that_stays_away_ends_it_and_says_that_the_job_may_go_on() -> None:
    said: list[str] = []
    with pytest.raises(JobError, match="no route; the job app/r1 may go on"):
        follow(JOB, watch([JobError("no route")] * 100, said))
    assert len(said) < 100


class Logs:
    """Answers FilterLogEvents from a list of events, two a page."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events = events
        self.requests: list[Mapping[str, Any]] = []

    def send(self, operation: str, request: dict[str, Any]) -> Mapping[str, Any]:
        assert operation == "FilterLogEvents"
        self.requests.append(dict(request))
        prefix, start = request["logStreamNamePrefix"], int(request.get("nextToken", 0))
        fitting = [
            event
            for event in self.events
            if event["logStreamName"].startswith(prefix) and event["timestamp"] >= request["startTime"]
        ]
        page = {"events": fitting[start : start + 2]}
        return page | ({"nextToken": str(start + 2)} if len(fitting) > start + 2 else {})


def event(number: int, message: str, stream: str = "job/algo-1-1700") -> dict[str, Any]:
    return {"eventId": str(number), "timestamp": 1000 * number, "message": message, "logStreamName": stream}


def test_lines_come_once_with_the_host_where_there_are_several() -> None:
    server = Logs([event(100 + n, f"line {n}\n") for n in range(5)])
    logs = CloudLogs(server.send, [LogPlace(group="g", stream_prefix="job/", names_stream=True)], start_ms=0)
    assert list(logs.new_lines()) == [f"algo-1: line {n}" for n in range(5)]
    assert list(logs.new_lines()) == []
    # An event may become visible after later ones.
    server.events[0:0] = [event(99, "late\n", "job/algo-2-1700")]
    assert list(logs.new_lines()) == ["algo-2: late"]
    assert server.requests[-1]["startTime"] > 0


def test_sparks_own_log_and_executors_streams_are_left_out() -> None:
    messages = [
        "26/11/30 09:00:00 INFO SparkContext: Running Spark version 3.5.6",
        "2026-11-30T09:00:00.123Z WARN TaskSetManager: Lost task",
        "\tat org.apache.spark.scheduler.Task.run(Task.scala:141)",
        "packing: 50 of 100, 12 images/s",
        "26/11/30 is no log of Spark",
    ]
    events = [event(n, message, "jr_1") for n, message in enumerate(messages)] + [event(9, "executor", "jr_1_g-1")]
    logs = CloudLogs(Logs(events).send, [LogPlace(group="g", stream_prefix="jr_1", stream_end="jr_1")], start_ms=0)
    assert list(logs.new_lines()) == messages[3:]


@pytest.mark.parametrize(
    ("code", "lines"),
    [("ResourceNotFoundException", []), ("AccessDeniedException", ["the job's log is not shown: no"])],
)
def test_a_log_that_cannot_be_read(code: str, lines: list[str]) -> None:
    asked: list[str] = []

    def refuse(operation: str, request: dict[str, Any]) -> Mapping[str, Any]:
        asked.append(operation)
        raise RefusedError("no", code)

    logs = CloudLogs(refuse, [LogPlace(group="g", stream_prefix="job/")], start_ms=0)
    assert [*logs.new_lines(), *logs.new_lines()] == lines
    assert len(asked) == 2 - len(lines)  # a group that is not there yet may come; a right may not


@pytest.fixture
def driver_log(aws: Any) -> BucketLogs:
    text = "x\nshardpack: first\nmore\nshardpack: c0/a.jpg: not_an_image\n"
    key = "logs/j-1/containers/application_1/container_1_0001_01_000001/stdout.gz"
    aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(text.encode()))
    aws.client("s3").put_object(Bucket=BUCKET, Key=key.replace("000001", "000002"), Body=b"an executor's")
    return BucketLogs(uri=f"s3://{BUCKET}/logs/j-1/containers", key_end="_000001/stdout.gz")


def test_the_last_error_is_in_the_drivers_log(driver_log: BucketLogs, aws: Any) -> None:
    assert find_last_error(driver_log, StoreOptions()) == "c0/a.jpg: not_an_image"
    executor = BucketLogs(uri=driver_log.uri, key_end="_000002/stdout.gz")
    assert find_last_error(executor, StoreOptions()) is None
    assert find_last_error(BucketLogs(uri=f"s3://{BUCKET}/none", key_end="stdout.gz"), StoreOptions()) is None
    assert find_last_error(BucketLogs(uri="s3://no-such-bucket/x", key_end="stdout.gz"), StoreOptions()) is None
