"""Sends a job to AWS and follows it: build and check the requests, upload files, send, watch, report the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from packer.errors import JobError, OptionsError
from packer.options import PackOptions
from packer.progress import Progress
from packer.sagemaker.validation import request_faults
from packer.submitting.aws_service import AwsService, RefusedError, find_region
from packer.submitting.cloud_logs import CloudLogs
from packer.submitting.ended_logs import find_last_error
from packer.submitting.following import Watch, follow
from packer.submitting.job_files import StagedJob, upload
from packer.submitting.packing_job import stage_packing
from packer.submitting.services import PROGRAMS, TARGETS
from packer.submitting.submit_options import SubmitOptions
from packer.submitting.target import Answer, JobState, Request, SentJob, Target

_EMR_PROGRAM = "emr_pack.py"
_THERE_ALREADY = ("AlreadyExistsException", "IdempotentParameterMismatchException")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that was sent or, with `dry_run`, would be sent."""

    target: str
    staged: StagedJob
    requests: tuple[Request, ...]
    service: str
    job: SentJob | None = None
    """The job; None if nothing was sent."""
    state: JobState | None = None
    """Last state of the job; None if it was not followed."""

    def as_document(self) -> dict[str, object]:
        """Return the requests, and the files that they name, for users who send them themselves."""
        requests = [
            {"service": self.service, "operation": request.operation, "parameters": request.parameters}
            for request in self.requests
        ]
        files = [{"uri": file.uri, "num_bytes": file.num_bytes} for file in self.staged.files]
        return {"target": self.target, "uploads": files, "requests": requests}


def submit(options: SubmitOptions, values: Mapping[str, Any], access: PackOptions, progress: Progress) -> Submission:
    """Send a job and follow it to its end.

    Args:
        options: options of the command.
        values: options of pack, from the file that `config` names; empty if the target does not pack.
        access: options for access to the bucket of `staging`.
        progress: receives reports on the job.

    Raises:
        OptionsError: options are wrong, or the service would refuse a request.
        JobError: the service refused a request, or the job failed.
        OSError: files cannot be uploaded.
    """
    target = TARGETS[options.target]
    options = msgspec.structs.replace(options, region=find_region(options.region, access.profile))
    program = PROGRAMS.get(options.target, _EMR_PROGRAM)
    staged = stage_packing(options, values, program=program) if program else StagedJob()
    requests = target.build(options, staged)
    check_requests(target.service, requests)
    made = Submission(target=options.target, staged=staged, requests=requests, service=target.service)
    if options.dry_run:
        return made
    service = AwsService(target.service, region=options.region, profile=access.profile)
    if staged.files:
        upload(options.wanted("staging"), staged.files, access.dest_store(), progress)
    start_ms = int(time.time() * 1000)
    job = target.sent(options, [_send(service, request) for request in requests])
    progress.note(f"sent to {options.target}: {job.label}; to stop it: {target.stop_command(job)}")
    if options.detach:
        return replace(made, job=job)
    logs = None
    if places := target.log_places(options, job):
        cloud = AwsService("logs", region=options.region, profile=access.profile)
        logs = CloudLogs(cloud.send, places, start_ms=start_ms)
    watch = Watch(look=lambda: target.look(service.send, job), logs=logs, say=progress.note)
    try:
        state = follow(job, watch)
    except KeyboardInterrupt:
        _leave(options, target, service, job, progress)
        raise
    if not state.is_ok:
        raise JobError(_describe_failure(options, target, job, state, access))
    return replace(made, job=job, state=state)


def check_requests(service: str, requests: Sequence[Request]) -> None:
    """Check requests against botocore's description of the service. Raises OptionsError for the first fault."""
    for request in requests:
        for fault in request_faults(request.operation, request.parameters, service=service):
            raise OptionsError(f"{service} {request.operation}: {fault}")


def _send(service: AwsService, request: Request) -> Answer:
    """Send a request. If it creates something that already exists with this content, return its own parameters."""
    try:
        return service.send(request.operation, request.parameters)
    except RefusedError as error:
        if request.may_exist and error.code in _THERE_ALREADY:
            return request.parameters
        raise


def _leave(options: SubmitOptions, target: Target, service: AwsService, job: SentJob, progress: Progress) -> None:
    """After an interrupt, stop the job if `stop_on_interrupt` is set; otherwise report how to stop it."""
    if not options.stop_on_interrupt:
        progress.note(f"the job {job.label} goes on; to stop it: {target.stop_command(job)}")
        return
    try:
        target.stop(service.send, job)
    except JobError as error:
        progress.note(f"the job {job.label} could not be stopped: {error}; stop it with: {target.stop_command(job)}")
    else:
        progress.note(f"the job {job.label} is being stopped")


def _describe_failure(
    options: SubmitOptions, target: Target, job: SentJob, state: JobState, access: PackOptions
) -> str:
    """Return one line on a failure: the program's last error, the service's reason, and where the logs are."""
    logs = target.bucket_logs(options, job)
    said = find_last_error(logs, access.source_store()) if logs else None
    reasons = [text for text in (said, state.reason) if text]
    where = f"; its logs: {logs.uri}" if logs else ""
    return f"{' | '.join(reasons) or 'no reason was given'} ({options.target} {job.label}: {state.name}{where})"
