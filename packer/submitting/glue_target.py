"""Packing on AWS Glue, with an existing Glue job or with a new one that is named by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from packer.errors import OptionsError
from packer.submitting.job_files import StagedJob
from packer.submitting.packing_job import is_wheel
from packer.submitting.submit_options import PACKING_FIELDS, SubmitOptions
from packer.submitting.target import Answer, BucketLogs, JobState, LogPlace, Request, Send, SentJob

DEFAULT_RELEASE = "5.1"
_ENDED = ("STOPPED", "SUCCEEDED", "FAILED", "TIMEOUT", "ERROR", "EXPIRED")
_LOG_GROUPS = ("/aws-glue/jobs/output", "/aws-glue/jobs/error")
_SETTING = "--conf"


class GlueTarget:
    """See `Target`."""

    service = "glue"
    fields = PACKING_FIELDS | {"worker_type", "workers", "modules", "glue_job"}

    def build(self, options: SubmitOptions, staged: StagedJob) -> tuple[Request, ...]:
        """See `Target.build`. One request creates the job, unless `glue_job` names one; another starts a run of it."""
        arguments = _arguments(options, staged)
        run: dict[str, Any] = {
            "Arguments": arguments,
            "WorkerType": options.worker_type,
            "NumberOfWorkers": options.workers,
        }
        if options.glue_job:
            for name in ("role", "release", "name"):
                if getattr(options, name) is not None:
                    raise OptionsError("expected without `glue_job`, which has its own", field=name)
            return (Request("StartJobRun", {"JobName": options.glue_job, **run}),)
        job = {
            "Role": options.wanted("role"),
            "Command": {"Name": "glueetl", "ScriptLocation": staged.program, "PythonVersion": "3"},
            "GlueVersion": options.release or DEFAULT_RELEASE,
            "WorkerType": options.worker_type,
            "NumberOfWorkers": options.workers,
            "DefaultArguments": {"--job-bookmark-option": "job-bookmark-disable"},
        }
        if not staged.package:
            raise OptionsError("expected a wheel or an archive for the nodes of a new job, got none", field="package")
        name = f"{options.name or 'shardpack'}-{hashlib.sha256(msgspec.json.encode(job)).hexdigest()[:8]}"
        made = Request("CreateJob", {"Name": name, **job}, may_exist=True)
        return (made, Request("StartJobRun", {"JobName": name, **run}))

    def sent(self, options: SubmitOptions, answers: Sequence[Answer]) -> SentJob:
        """See `Target.sent`."""
        name = options.glue_job or answers[0]["Name"]
        return SentJob(job_id=answers[-1]["JobRunId"], parent_id=name)

    def look(self, send: Send, job: SentJob) -> JobState:
        """See `Target.look`."""
        run = send("GetJobRun", {"JobName": job.parent_id, "RunId": job.job_id})["JobRun"]
        state, reason = run["JobRunState"], run.get("ErrorMessage", "")
        return JobState(name=state, has_ended=state in _ENDED, is_ok=state == "SUCCEEDED", reason=reason)

    def stop(self, send: Send, job: SentJob) -> None:
        """See `Target.stop`."""
        send("BatchStopJobRun", {"JobName": job.parent_id, "JobRunIds": [job.job_id]})

    def stop_command(self, job: SentJob) -> str:
        """See `Target.stop_command`."""
        words = ("aws glue batch-stop-job-run", "--job-name", job.parent_id, "--job-run-ids", job.job_id)
        return " ".join(words)

    def log_places(self, options: SubmitOptions, job: SentJob) -> tuple[LogPlace, ...]:
        """See `Target.log_places`. The driver's stream has the run's id as its name; executors' names begin with it."""
        return tuple(LogPlace(group=group, stream_prefix=job.job_id, stream_end=job.job_id) for group in _LOG_GROUPS)

    def bucket_logs(self, options: SubmitOptions, job: SentJob) -> BucketLogs | None:
        """See `Target.bucket_logs`."""
        return None


def _arguments(options: SubmitOptions, staged: StagedJob) -> dict[str, str]:
    """Return the job's arguments. A map can have only one `--conf`, so its value holds all further settings."""
    arguments = {"--config": staged.config}
    if options.modules and not is_wheel(staged.package):
        raise OptionsError("expected with a wheel as `package`, since an archive has its libraries", field="modules")
    if is_wheel(staged.package):
        arguments["--additional-python-modules"] = ",".join(filter(None, (options.modules, staged.package)))
    elif staged.package.endswith(".tar.gz"):
        arguments["--python-virtual-env"] = staged.package
    elif staged.package:
        raise OptionsError(f"expected a wheel, or an archive (.tar.gz), got {options.package}", field="package")
    settings = [f"{name}={value}" for name, value in sorted(options.settings().items())]
    return arguments | ({_SETTING: f" {_SETTING} ".join(settings)} if settings else {})
