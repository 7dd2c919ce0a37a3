"""Packing on Amazon EMR on EKS, with a container image that contains the package, or with an archive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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

DEFAULT_RELEASE = "emr-7.13.0-latest"
_ENDED = ("COMPLETED", "FAILED", "CANCELLED")
_STREAMS = "shardpack"


class EksTarget:
    """See `Target`."""

    service = "emr-containers"
    fields = PACKING_FIELDS | {"virtual_cluster", "image", "executors", "executor_cores", "logs", "log_group"}

    def build(self, options: SubmitOptions, staged: StagedJob) -> tuple[Request, ...]:
        """See `Target.build`."""
        parameters: dict[str, Any] = {
            "name": job_name(options, staged),
            "virtualClusterId": options.wanted("virtual_cluster"),
            "executionRoleArn": options.wanted("role"),
            "releaseLabel": options.release or DEFAULT_RELEASE,
            "jobDriver": {
                "sparkSubmitJobDriver": {
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
        return SentJob(job_id=answers[0]["id"], parent_id=answers[0]["virtualClusterId"])

    def look(self, send: Send, job: SentJob) -> JobState:
        """See `Target.look`."""
        run = send("DescribeJobRun", {"id": job.job_id, "virtualClusterId": job.parent_id})["jobRun"]
        state = run["state"]
        reason = ": ".join(text for text in (run.get("failureReason"), run.get("stateDetails")) if text)
        return JobState(name=state, has_ended=state in _ENDED, is_ok=state == "COMPLETED", reason=reason)

    def stop(self, send: Send, job: SentJob) -> None:
        """See `Target.stop`."""
        send("CancelJobRun", {"id": job.job_id, "virtualClusterId": job.parent_id})

    def stop_command(self, job: SentJob) -> str:
        """See `Target.stop_command`."""
        words = ("aws emr-containers cancel-job-run", "--virtual-cluster-id", job.parent_id, "--id", job.job_id)
        return " ".join(words)

    def log_places(self, options: SubmitOptions, job: SentJob) -> tuple[LogPlace, ...]:
        """See `Target.log_places`."""
        if not options.log_group:
            return ()
        prefix = f"{_STREAMS}/{job.parent_id}/jobs/{job.job_id}/containers/"
        return (LogPlace(group=options.log_group, stream_prefix=prefix, stream_end="-driver/stdout"),)

    def bucket_logs(self, options: SubmitOptions, job: SentJob) -> BucketLogs | None:
        """See `Target.bucket_logs`."""
        uri = f"{logs_of(options)}{job.parent_id}/jobs/{job.job_id}/containers"
        return BucketLogs(uri=uri, key_end="-driver/stdout.gz")


def _settings(options: SubmitOptions, staged: StagedJob) -> dict[str, str]:
    settings = spark_settings(options)
    if options.executors:
        settings["spark.executor.instances"] = str(options.executors)
    if options.image:
        settings["spark.kubernetes.container.image"] = options.image
    if archive := archive_of(options, staged):
        settings["spark.archives"] = f"{archive}#{ENVIRONMENT}"
        settings["spark.pyspark.python"] = ENVIRONMENT_PYTHON
    if options.region:
        settings["spark.kubernetes.driverEnv.AWS_DEFAULT_REGION"] = options.region
    return settings


def _monitoring(options: SubmitOptions) -> dict[str, Any]:
    monitoring: dict[str, Any] = {"s3MonitoringConfiguration": {"logUri": logs_of(options)}}
    if options.log_group:
        monitoring["cloudWatchMonitoringConfiguration"] = {
            "logGroupName": options.log_group,
            "logStreamNamePrefix": _STREAMS,
        }
    return monitoring
