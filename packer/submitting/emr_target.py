"""Packing on Amazon EMR on EC2, in a cluster that is created for the job and ends with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from packer.errors import OptionsError
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

DEFAULT_RELEASE = "emr-7.13.0"
_MANAGED_TAG = "for-use-with-amazon-emr-managed-policies"
"""AWS's managed policy for EMR's service role allows only resources with this tag."""
_ENDED_STEPS = ("COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED")
_DEAD_CLUSTERS = ("TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS")


class EmrTarget:
    """See `Target`."""

    service = "emr"
    fields = PACKING_FIELDS | {
        *("instance_type", "instances", "spot_tasks", "service_role", "subnet", "logs", "executor_cores")
    }

    def build(self, options: SubmitOptions, staged: StagedJob) -> tuple[Request, ...]:
        """See `Target.build`. One request describes the whole cluster and its single step."""
        archive = archive_of(options, staged)
        if not archive:
            raise OptionsError(
                "expected an archive of an environment (.tar.gz) for the new nodes, got none", field="package"
            )
        parameters: dict[str, Any] = {
            "Name": job_name(options, staged),
            "LogUri": logs_of(options),
            "ReleaseLabel": options.release or DEFAULT_RELEASE,
            "Applications": [{"Name": "Spark"}],
            "JobFlowRole": options.wanted("role"),
            "ServiceRole": options.service_role,
            "VisibleToAllUsers": True,
            "Tags": [{"Key": _MANAGED_TAG, "Value": "true"}],
            "Instances": _instances(options),
            "Steps": [_step(options, staged, archive)],
        }
        return (Request("RunJobFlow", parameters),)

    def sent(self, options: SubmitOptions, answers: Sequence[Answer]) -> SentJob:
        """See `Target.sent`."""
        return SentJob(job_id=answers[0]["JobFlowId"])

    def look(self, send: Send, job: SentJob) -> JobState:
        """See `Target.look`. The job is the cluster's single step; it fails if the cluster ends before the step."""
        cluster = send("DescribeCluster", {"ClusterId": job.job_id})["Cluster"]["Status"]
        steps = send("ListSteps", {"ClusterId": job.job_id})["Steps"]
        step: Mapping[str, Any] = steps[0]["Status"] if steps else {"State": "PENDING"}
        if step["State"] in _ENDED_STEPS:
            failure = step.get("FailureDetails", {})
            texts = (failure.get("Reason"), failure.get("Message"), step.get("StateChangeReason", {}).get("Message"))
            reason = ": ".join(text for text in texts if text)
            return JobState(name=step["State"], has_ended=True, is_ok=step["State"] == "COMPLETED", reason=reason)
        if cluster["State"] in _DEAD_CLUSTERS:
            reason = cluster.get("StateChangeReason", {}).get("Message", "")
            return JobState(name=cluster["State"], has_ended=True, reason=reason)
        return JobState(name=f"cluster {cluster['State']}, step {step['State']}")

    def stop(self, send: Send, job: SentJob) -> None:
        """See `Target.stop`."""
        send("TerminateJobFlows", {"JobFlowIds": [job.job_id]})

    def stop_command(self, job: SentJob) -> str:
        """See `Target.stop_command`."""
        return " ".join(("aws emr terminate-clusters", "--cluster-ids", job.job_id))

    def log_places(self, options: SubmitOptions, job: SentJob) -> tuple[LogPlace, ...]:
        """See `Target.log_places`."""
        return ()

    def bucket_logs(self, options: SubmitOptions, job: SentJob) -> BucketLogs | None:
        """See `Target.bucket_logs`. The driver runs in the first container of its application."""
        return BucketLogs(uri=f"{logs_of(options)}{job.job_id}/containers", key_end="_000001/stdout.gz")


def logs_of(options: SubmitOptions) -> str:
    """Return the URI below which EMR writes its logs, with a ``/`` at the end."""
    return (options.logs or f"{options.wanted('staging').rstrip('/')}/logs").rstrip("/") + "/"


def _instances(options: SubmitOptions) -> dict[str, Any]:
    def group(role: str, count: int, market: str) -> dict[str, Any]:
        return {
            "Name": role.lower(),
            "InstanceRole": role,
            "InstanceType": options.instance_type,
            "InstanceCount": count,
            "Market": market,
        }

    groups = [group("MASTER", 1, "ON_DEMAND"), group("CORE", options.instances, "ON_DEMAND")]
    if options.spot_tasks:
        groups.append(group("TASK", options.spot_tasks, "SPOT"))
    instances: dict[str, Any] = {
        "InstanceGroups": groups,
        "KeepJobFlowAliveWhenNoSteps": False,
        "TerminationProtected": False,
    }
    return instances | ({"Ec2SubnetId": options.subnet} if options.subnet else {})


def _step(options: SubmitOptions, staged: StagedJob, archive: str) -> dict[str, Any]:
    settings = spark_settings(options) | {
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": ENVIRONMENT_PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": ENVIRONMENT_PYTHON,
    }
    if options.region:
        settings["spark.yarn.appMasterEnv.AWS_DEFAULT_REGION"] = options.region
    arguments = [
        *("spark-submit", "--deploy-mode", "cluster", "--archives", f"{archive}#{ENVIRONMENT}"),
        *as_arguments(settings),
        *(staged.program, "--config", staged.config),
    ]
    return {
        "Name": "shardpack",
        "ActionOnFailure": "TERMINATE_CLUSTER",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": arguments},
    }
