"""Training on Amazon SageMaker, with a CreateTrainingJob request from a file that `shardpack sagemaker` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packer.errors import OptionsError
from packer.parsing import ParseError, parse_json
from packer.sagemaker.rules import training_job_faults
from packer.submitting.job_files import StagedJob
from packer.submitting.submit_options import SubmitOptions
from packer.submitting.target import Answer, BucketLogs, JobState, LogPlace, Request, Send, SentJob

_ENDED = ("Completed", "Failed", "Stopped")
_LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class SageMakerTarget:
    """See `Target`."""

    service = "sagemaker"
    fields = frozenset({"request", "name"})

    def build(self, options: SubmitOptions, staged: StagedJob) -> tuple[Request, ...]:
        """See `Target.build`. The request is that of the file; `name` replaces the job's name if given."""
        path = options.wanted("request")
        try:
            request = parse_json(Path(path).read_bytes())
        except (OSError, ParseError) as error:
            raise OptionsError(f"expected a JSON file, but {path} cannot be read: {error}", field="request") from None
        if not isinstance(request, dict) or "TrainingJobName" not in request:
            raise OptionsError(f"expected a CreateTrainingJob request in {path}, got another document", field="request")
        if options.name:
            request["TrainingJobName"] = options.name
        if faults := training_job_faults(request):
            raise OptionsError(f"{path}: {faults[0]}", field="request")
        return (Request("CreateTrainingJob", request),)

    def sent(self, options: SubmitOptions, answers: Sequence[Answer]) -> SentJob:
        """See `Target.sent`."""
        return SentJob(job_id=str(answers[0]["TrainingJobArn"]).rpartition("/")[2])

    def look(self, send: Send, job: SentJob) -> JobState:
        """See `Target.look`."""
        found = send("DescribeTrainingJob", {"TrainingJobName": job.job_id})
        state = found["TrainingJobStatus"]
        name = state if state in _ENDED else f"{state}, {found.get('SecondaryStatus', '')}"
        reason = found.get("FailureReason", "")
        return JobState(name=name, has_ended=state in _ENDED, is_ok=state == "Completed", reason=reason)

    def stop(self, send: Send, job: SentJob) -> None:
        """See `Target.stop`."""
        send("StopTrainingJob", {"TrainingJobName": job.job_id})

    def stop_command(self, job: SentJob) -> str:
        """See `Target.stop_command`."""
        return " ".join(("aws sagemaker stop-training-job", "--training-job-name", job.job_id))

    def log_places(self, options: SubmitOptions, job: SentJob) -> tuple[LogPlace, ...]:
        """See `Target.log_places`. Each host has its own stream."""
        return (LogPlace(group=_LOG_GROUP, stream_prefix=f"{job.job_id}/", names_stream=True),)

    def bucket_logs(self, options: SubmitOptions, job: SentJob) -> BucketLogs | None:
        """See `Target.bucket_logs`."""
        return None
