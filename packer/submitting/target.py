"""The interface of an AWS service that takes jobs: its requests, a running job, the job's state and logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from packer.submitting.job_files import StagedJob
from packer.submitting.submit_options import SubmitOptions

Answer: TypeAlias = "Mapping[str, Any]"
Send: TypeAlias = "Callable[[str, dict[str, Any]], Answer]"
"""Sends an operation of the service with its parameters and returns the answer. Raises JobError."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the service that takes the job."""

    operation: str
    """Name of the operation in botocore's model, such as StartJobRun."""
    parameters: dict[str, Any]
    may_exist: bool = False
    """True if the request creates something that may already exist with the same content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentJob:
    """A job that the service has taken."""

    job_id: str
    parent_id: str = ""
    """Id of the application, virtual cluster or Glue job that the job runs in; empty if there is none."""

    @property
    def label(self) -> str:
        """Name of the job in messages."""
        return f"{self.parent_id}/{self.job_id}" if self.parent_id else self.job_id


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """State of a job."""

    name: str
    """The service's name of the state, such as RUNNING."""
    has_ended: bool = False
    is_ok: bool = False
    """The job has succeeded."""
    reason: str = ""
    """The service's reason for a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPlace:
    """Streams of CloudWatch Logs whose lines are shown."""

    group: str
    stream_prefix: str
    stream_end: str = ""
    """End of a stream's name; streams with another end are left out."""
    names_stream: bool = False
    """True if each shown line begins with the name of its host, taken from the stream's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketLogs:
    """Logs that a service writes to a bucket."""

    uri: str
    """URI below which the logs are."""
    key_end: str
    """End of the key of the driver's standard output."""


class Target(Protocol):
    """A service that takes jobs."""

    @property
    def service(self) -> str:
        """The service's name in botocore."""

    @property
    def fields(self) -> frozenset[str]:
        """Names of the options that the target uses, apart from `COMMON_FIELDS`."""

    def build(self, options: SubmitOptions, staged: StagedJob) -> tuple[Request, ...]:
        """Return the requests that start the job, in the order to send them. Raises OptionsError."""

    def sent(self, options: SubmitOptions, answers: Sequence[Answer]) -> SentJob:
        """Return the job, from the answers to the requests."""

    def look(self, send: Send, job: SentJob) -> JobState:
        """Ask the service for the job's state. Raises JobError."""

    def stop(self, send: Send, job: SentJob) -> None:
        """Ask the service to stop the job, which ends some time later. Raises JobError."""

    def stop_command(self, job: SentJob) -> str:
        """Return the `aws` command that stops the job."""

    def log_places(self, options: SubmitOptions, job: SentJob) -> tuple[LogPlace, ...]:
        """Return the job's streams in CloudWatch Logs; empty if the job does not log there."""

    def bucket_logs(self, options: SubmitOptions, job: SentJob) -> BucketLogs | None:
        """Return the bucket logs with the driver's output after the job's end; None if there are none."""
