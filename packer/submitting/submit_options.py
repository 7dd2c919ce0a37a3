"""Options of `shardpack submit`; the command line is made from these fields."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

from packer.errors import OptionsError


class SubmitTarget(enum.StrEnum):
    """The services that take a job; `packer.submitting.services` has a file for each."""

    EMR = "emr"
    EMR_SERVERLESS = "emr-serverless"
    EMR_EKS = "emr-eks"
    GLUE = "glue"
    SAGEMAKER = "sagemaker"


class SubmitOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `submit`; field names are the command line's with underscores."""

    target: SubmitTarget
    config: Annotated[str | None, Meta(description="YAML or JSON file of the options of pack, SOURCE and DEST too")] = (
        None
    )
    staging: Annotated[str | None, Meta(description="s3://... under which the files of the job are put")] = None
    package: Annotated[
        str | None, Meta(description="what the nodes need: an archive (.tar.gz), or for Glue a wheel; a path or s3://")
    ] = None
    resume: Annotated[bool, Meta(description="go on with an interrupted run of the same options")] = False
    overwrite: Annotated[bool, Meta(description="remove the data set that is at the destination first")] = False
    role: Annotated[str | None, Meta(description="ARN of the job's role; for emr the name of the instance profile")] = (
        None
    )
    release: Annotated[str | None, Meta(description="release label of EMR, or version of Glue")] = None
    conf: Annotated[tuple[str, ...], Meta(description="a setting of Spark; repeatable")] = ()
    executors: Annotated[int | None, Meta(description="executors at most (EMR Serverless, EKS)")] = None
    executor_cores: Annotated[int, Meta(ge=1, le=16, description="tasks that an executor runs at a time (EMR)")] = 4
    logs: Annotated[str | None, Meta(description="s3://... for EMR's logs (default: STAGING/logs/)")] = None
    log_group: Annotated[
        str | None, Meta(description="CloudWatch's log group, so that lines are shown (EMR Serverless, EKS)")
    ] = None
    instance_type: Annotated[str, Meta(description="of the nodes of emr")] = "m6i.2xlarge"
    instances: Annotated[int, Meta(ge=1, description="core nodes of emr")] = 2
    spot_tasks: Annotated[int, Meta(ge=0, description="spot nodes of emr beside the core nodes")] = 0
    service_role: Annotated[str, Meta(description="EMR's own role, for emr")] = "EMR_DefaultRole"
    subnet: Annotated[str | None, Meta(description="where emr starts its nodes")] = None
    application: Annotated[str | None, Meta(description="id of EMR Serverless's application")] = None
    virtual_cluster: Annotated[str | None, Meta(description="id of EMR on EKS's virtual cluster")] = None
    image: Annotated[str | None, Meta(description="URI of the image that holds the package, for emr-eks")] = None
    worker_type: Annotated[str, Meta(description="of Glue")] = "G.1X"
    workers: Annotated[int, Meta(ge=2, description="of Glue, the driver's too")] = 10
    modules: Annotated[
        str | None,
        Meta(description="pins for Glue's nodes, beside a wheel, such as numpy==2.4.6,pillow==13.0.0"),
    ] = None
    glue_job: Annotated[
        str | None, Meta(description="name of a Glue job that is there (default: one is made, named by its content)")
    ] = None
    request: Annotated[str | None, Meta(description="file that shardpack sagemaker wrote, for sagemaker")] = None
    name: Annotated[str | None, Meta(description="of the job (default: from its options)")] = None
    region: Annotated[str | None, Meta(description="of AWS (default: as boto3 finds it)")] = None
    dry_run: Annotated[bool, Meta(description="print the requests as JSON, and send and upload nothing")] = False
    detach: Annotated[bool, Meta(description="end when the job was sent, and do not follow it")] = False
    stop_on_interrupt: Annotated[bool, Meta(description="stop the job at Ctrl-C, which else leaves it running")] = False

    def __post_init__(self) -> None:
        if self.executors is not None and self.executors < 1:
            raise OptionsError(f"expected a whole number of at least 1, got {self.executors}", field="executors")

    def wanted(self, name: str) -> str:
        """Return an option that the target requires. Raises OptionsError if it was not given."""
        value = getattr(self, name)
        if not value:
            raise OptionsError(f"expected a value with `target={self.target}`, got none", field=name)
        return str(value)

    def settings(self) -> dict[str, str]:
        """Return the settings of Spark in `conf` by name. Raises OptionsError."""
        found = {}
        for text in self.conf:
            name, equals, value = text.partition("=")
            if not name.startswith("spark.") or not equals or len(text.split()) != 1:
                raise OptionsError(
                    f"expected spark.NAME=VALUE without spaces, such as spark.task.maxFailures=8, got {text!r}",
                    field="conf",
                )
            found[name] = value
        return found


COMMON_FIELDS = frozenset({"target", "region", "dry_run", "detach", "stop_on_interrupt"})
"""Options that every target uses."""
PACKING_FIELDS = frozenset({"config", "staging", "package", "resume", "overwrite", "role", "release", "conf", "name"})
"""Options that every packing target uses."""


def check_all_is_used(given: frozenset[str], target: SubmitTarget, used: frozenset[str]) -> None:
    """Refuse given options that the target would ignore. Raises OptionsError."""
    for name in sorted(given - used - COMMON_FIELDS):
        raise OptionsError(f"expected without `target={target}`, which has no such thing", field=name)
