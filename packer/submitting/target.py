"""The seam between a service of AWS and what all of them share: requests, a job that runs, how it stands, its logs."""

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
    """One request of the service that takes the job."""

    operation: str
    """As botocore's model names it, such as StartJobRun."""
    parameters: dict[str, Any]
    may_exist: bool = False
    """Whether it makes what may be there already, with the same content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentJob:
    """A job that the service has taken."""

    job_id: str
    parent_id: str = ""
    """Of the application, virtual cluster or Glue job that it runs in."""

    @property
    def label(self) -> str:
        """What people are told."""
        return f"{self.parent_id}/{self.job_id}" if self.parent_id else self.job_id


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """How a job stands."""

    name: str
    """In the service's own words, such as RUNNING."""
    has_ended: bool = False
    is_ok: bool = False
    reason: str = ""
    """Why it failed, as the service says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPlace:
    """Streams of CloudWatch Logs whose lines are worth showing."""

    group: str
    stream_prefix: str
    stream_end: str = ""
    """Other streams of the prefix are left out."""
    names_stream: bool = False
    """Whether lines are told apart by their streams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketLogs:
    """A prefix below which a service puts logs, and the end of the key of the driver's standard output."""

    uri: str
    key_end: str


class Target(Protocol):
    """A service that takes jobs."""

    @property
    def service(self) -> str:
        """The service as botocore names it."""

    @property
    def fields(self) -> frozenset[str]:
        """The options that it uses, beside those of every target."""

    def build(self, options: SubmitOptions, staged: StagedJob) -> tuple[Request, ...]:
        """Return the requests that start the job, in their order. Raises OptionsError."""

    def sent(self, options: SubmitOptions, answers: Sequence[Answer]) -> SentJob:
        """Return the job, from the answers to the requests."""

    def look(self, send: Send, job: SentJob) -> JobState:
        """Ask how the job stands."""

    def stop(self, send: Send, job: SentJob) -> None:
        """Have the job stopped; it ends some time later."""

    def stop_command(self, job: SentJob) -> str:
        """Return the command of AWS's command line that stops the job."""

    def log_places(self, options: SubmitOptions, job: SentJob) -> tuple[LogPlace, ...]:
        """Return where the job's lines are in CloudWatch Logs; none where they do not go there."""

    def bucket_logs(self, options: SubmitOptions, job: SentJob) -> BucketLogs | None:
        """Return where the driver's output is put once the job has ended; None where it is not."""
