"""How busy the instances of a training job were, from SageMaker and CloudWatch.

CloudWatch stores one mean a minute for each host in ``/aws/sagemaker/TrainingJobs``. The largest CPUUtilization is 100
times the number of virtual CPUs, the largest GPUUtilization 100 times the number of GPUs; memory and disk go up to 100.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from packer.errors import OptionsError, StoreError
from packer.sagemaker.instance_types import num_cpus, num_gpus

NAMESPACE = "/aws/sagemaker/TrainingJobs"
METRICS = ("CPUUtilization", "GPUUtilization", "MemoryUtilization", "DiskUtilization")
_MAX_QUERIES = 500
"""Most queries of one GetMetricData request."""
_KEPT = ((15, 60), (63, 300))
"""(days, seconds): for that many days, CloudWatch keeps means over that many seconds; later, means over an hour."""
_MPI_GROUPS = "sagemaker_distribution_instance_groups"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFigures:
    """Facts and measurements of a job. `gpu`, `cpu`, `memory` and `disk` are shares in [0, 1]; None if not measured."""

    job: str
    status: str
    instance_type: str
    """Type of the instances that train."""
    modes: tuple[str, ...]
    """Input modes of the job's channels."""
    download_s: float
    """Seconds of downloading input before the program started."""
    training_s: float
    """Seconds that the program ran."""
    gpu: float | None
    cpu: float | None
    memory: float | None
    disk: float | None


def open_clients(profile: str | None) -> tuple[Any, Any]:
    """Return botocore's clients of SageMaker and CloudWatch. Raises OptionsError without credentials or a region."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    session = Session(profile=profile)
    try:
        return session.create_client("sagemaker"), session.create_client("cloudwatch")
    except BotoCoreError as error:
        raise OptionsError(
            f"expected credentials and a region as boto3 finds them, but {error}", field="diagnose"
        ) from None


def measure_job(job: str, sagemaker: Any, cloudwatch: Any, *, now: datetime.datetime) -> JobFigures:
    """Return what a job did and how busy its instances were while its program ran.

    Args:
        job: name of the job.
        sagemaker: botocore's client of SageMaker.
        cloudwatch: botocore's client of CloudWatch.
        now: current time, with a time zone; the end of measurement for a job that still runs.

    Raises:
        OptionsError: there is no such job, or its program has not started.
        StoreError: AWS refused the request or cannot be reached.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = sagemaker.describe_training_job(TrainingJobName=job)
        phases = {phase["Status"]: phase for phase in found.get("SecondaryStatusTransitions", [])}
        if "Training" not in phases:
            raise OptionsError(
                f"expected a job whose program has begun, got {job}, which is {found.get('SecondaryStatus', 'new')}",
                field="diagnose",
            )
        start = phases["Training"]["StartTime"]
        end = phases["Training"].get("EndTime") or found.get("TrainingEndTime") or now
        values = _fetch(
            cloudwatch, list(_queries(job, found)), start, max(end, start + datetime.timedelta(minutes=1)), now
        )
    except ClientError as error:
        message = error.response["Error"].get("Message", str(error))
        if error.response["Error"].get("Code") in ("ValidationException", "ResourceNotFound"):
            raise OptionsError(f"expected the name of a training job, got {job}: {message}", field="diagnose") from None
        raise StoreError(f"{job}: expected to read its description and metrics, but AWS says: {message}") from None
    except BotoCoreError as error:
        raise StoreError(f"{job}: expected to reach AWS, but {error}") from None
    return _figures(job, found, phases, (end - start).total_seconds(), values)


def _queries(job: str, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    resources = found["ResourceConfig"]
    groups = resources.get("InstanceGroups", [])
    hosts = sum(group["InstanceCount"] for group in groups) if groups else resources["InstanceCount"]
    for number in range(1, hosts + 1):
        dimensions = [{"Name": "Host", "Value": f"{job}/algo-{number}"}]
        for metric in METRICS:
            stat = {
                "Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                "Stat": "Average",
            }
            yield {"Id": f"{metric[0].lower()}{number}", "MetricStat": stat, "ReturnData": True}


def _fetch(
    cloudwatch: Any,
    queries: Sequence[dict[str, Any]],
    start: datetime.datetime,
    end: datetime.datetime,
    now: datetime.datetime,
) -> dict[str, float]:
    """Return the mean of each query that has values, by the query's id."""
    age = now - start
    period = next((seconds for days, seconds in _KEPT if age < datetime.timedelta(days=days)), 3600)
    values: dict[str, list[float]] = {}
    for first in range(0, len(queries), _MAX_QUERIES):
        asked = [
            {**query, "MetricStat": {**query["MetricStat"], "Period": period}}
            for query in queries[first : first + _MAX_QUERIES]
        ]
        token: dict[str, str] = {}
        while True:
            page = cloudwatch.get_metric_data(MetricDataQueries=asked, StartTime=start, EndTime=end, **token)
            for result in page["MetricDataResults"]:
                values.setdefault(result["Id"], []).extend(result["Values"])
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
    return {name: fmean(found) for name, found in values.items() if found}


def _figures(
    job: str, found: dict[str, Any], phases: dict[str, Any], training_s: float, values: dict[str, float]
) -> JobFigures:
    kind = _training_type(found)
    with_gpus = {name[1:] for name in values if name.startswith("g")}

    def mean(letter: str, most: int) -> float | None:
        """Return the mean share of a metric over all hosts; if some hosts have GPUs, over these only."""
        numbers = [
            value for name, value in values.items() if name[0] == letter and (not with_gpus or name[1:] in with_gpus)
        ]
        return fmean(numbers) / (100 * most) if numbers and most else None

    downloading = phases.get("Downloading", {})
    start, end = downloading.get("StartTime"), downloading.get("EndTime")
    default = found.get("AlgorithmSpecification", {}).get("TrainingInputMode", "File")
    modes = {channel.get("InputMode", default) for channel in found.get("InputDataConfig", [])}
    return JobFigures(
        job=job,
        status=found["TrainingJobStatus"],
        instance_type=kind,
        modes=tuple(sorted(modes)),
        download_s=(end - start).total_seconds() if start and end else 0.0,
        training_s=training_s,
        gpu=mean("g", num_gpus(kind)),
        cpu=mean("c", num_cpus(kind)),
        memory=mean("m", 1),
        disk=mean("d", 1),
    )


def _training_type(found: dict[str, Any]) -> str:
    """Return the type of the instances that ranks run on."""
    resources = found["ResourceConfig"]
    groups = resources.get("InstanceGroups", [])
    named = found.get("HyperParameters", {}).get(_MPI_GROUPS)
    training = [g for g in groups if named is None or f'"{g["InstanceGroupName"]}"' in named] or groups
    return str(training[0]["InstanceType"] if training else resources["InstanceType"])
