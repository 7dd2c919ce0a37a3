"""Packing on Amazon EMR Serverless, in an existing application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from packer.errors import OptionsError
from packer.submitting.emr_target import logs_of
from packer.submitting.job_files import StagedJob
from packer.submitting.packing_job import (
    ENVIRONMENT,
    ENVIRONMENT_PYTHON,
    archive_of,
    as_arguments,
    job_name,
    spark_settings,
)
from packer.submitting.submit_options import PACKING_FIELDS, SubmitOptions
from packer.submitting.target import Answer, BucketLogs, JobState, LogPlace, Request, Send, SentJob

_ENDED = ("SUCCESS", "FAILED", "CANCELLED")
_STREAMS = "shardpack"
_WORKER_CORES = (1, 2, 4, 8, 16)
_MB_PER_CORE = 2048
"""Workers have one of these numbers of vCPUs and at least 2 GB for each vCPU. Source: EMR Serverless's worker sizes."""


class ServerlessTarget:
    """See `Target`. Without `package`, the application's image must contain the package."""

    service = "emr-serverless"
    fields = (PACKING_FIELDS - {"release"}) | {"application", "executors", "executor_cores", "logs", "log_group"}

    def build(self, options: SubmitOptions, staged: StagedJob) -> tuple[Request, ...]:
        """See `Target.build`."""
        parameters: dict[str, Any] = {
            "applicationId": options.wanted("application"),
            "executionRoleArn": options.wanted("role"),
            "name": job_name(options, staged),
            "jobDriver": {
                "sparkSubmit": {
                    "entryPoint": staged.program,
                    "entryPointArguments": ["--config", staged.config],
                    "sparkSubmitParameters": " ".join(as_arguments(_settings(options, staged))),
                }
            },
            "configurationOverrides": {"monitoringConfiguration": _monitoring(options)},
        }
        return (Request("StartJobRun", parameters),)

    def sent(self, options: SubmitOptions, answers: Sequence[Answer]) -> SentJob:
        """See `Target.sent`."""
        return SentJob(job_id=answers[0]["jobRunId"], parent_id=answers[0]["applicationId"])

    def look(self, send: Send, job: SentJob) -> JobState:
        """See `Target.look`."""
        run = send("GetJobRun", {"applicationId": job.parent_id, "jobRunId": job.job_id})["jobRun"]
        state, reason = run["state"], run.get("stateDetails", "")
        return JobState(name=state, has_ended=state in _ENDED, is_ok=state == "SUCCESS", reason=reason)

    def stop(self, send: Send, job: SentJob) -> None:
        """See `Target.stop`."""
        send("CancelJobRun", {"applicationId": job.parent_id, "jobRunId": job.job_id})

    def stop_command(self, job: SentJob) -> str:
        """See `Target.stop_command`."""
        words = ("aws emr-serverless cancel-job-run", "--application-id", job.parent_id, "--job-run-id", job.job_id)
        return " ".join(words)

    def log_places(self, options: SubmitOptions, job: SentJob) -> tuple[LogPlace, ...]:
        """See `Target.log_places`."""
        if not options.log_group:
            return ()
        prefix = f"{_STREAMS}/applications/{job.parent_id}/jobs/{job.job_id}/SPARK_DRIVER"
        return (LogPlace(group=options.log_group, stream_prefix=prefix, stream_end="stdout"),)

    def bucket_logs(self, options: SubmitOptions, job: SentJob) -> BucketLogs | None:
        """See `Target.bucket_logs`."""
        uri = f"{logs_of(options)}applications/{job.parent_id}/jobs/{job.job_id}"
        return BucketLogs(uri=uri, key_end="SPARK_DRIVER/stdout.gz")


def _settings(options: SubmitOptions, staged: StagedJob) -> dict[str, str]:
    if options.executor_cores not in _WORKER_CORES:
        cores = ", ".join(map(str, _WORKER_CORES))
        raise OptionsError(f"expected one of {cores}, got {options.executor_cores}", field="executor_cores")
    settings = spark_settings(options, mb_per_core=_MB_PER_CORE)
    if options.executors:
        settings["spark.dynamicAllocation.maxExecutors"] = str(options.executors)
    if archive := archive_of(options, staged):
        settings["spark.archives"] = f"{archive}#{ENVIRONMENT}"
        for name in ("driverEnv.PYSPARK_DRIVER_PYTHON", "driverEnv.PYSPARK_PYTHON"):
            settings[f"spark.emr-serverless.{name}"] = ENVIRONMENT_PYTHON
        settings["spark.executorEnv.PYSPARK_PYTHON"] = ENVIRONMENT_PYTHON
    if options.region:
        settings["spark.emr-serverless.driverEnv.AWS_DEFAULT_REGION"] = options.region
    return settings


def _monitoring(options: SubmitOptions) -> dict[str, Any]:
    monitoring: dict[str, Any] = {"s3MonitoringConfiguration": {"logUri": logs_of(options)}}
    if options.log_group:
        monitoring["cloudWatchLoggingConfiguration"] = {
            "enabled": True,
            "logGroupName": options.log_group,
            "logStreamNamePrefix": _STREAMS,
            "logTypes": {"SPARK_DRIVER": ["STDOUT", "STDERR"]},
        }
    return monitoring
