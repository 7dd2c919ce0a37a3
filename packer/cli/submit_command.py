"""``shardpack submit``: jobs sent to AWS, and followed."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
import typer

from packer.cli.command_options import BUCKET_GROUP, Json, load_config, place_options, with_fields
from packer.cli.output import Output
from packer.errors import OptionsError
from packer.help_page import RUN_GROUP, panels
from packer.options import STORE_FIELDS, PackOptions
from packer.submitting.submit_options import SubmitOptions, SubmitTarget, check_all_is_used
from packer.typed_values import convert_options

_FIELDS = (
    *(field for field in msgspec.structs.fields(SubmitOptions) if field.name != "target"),
    *(field for field in msgspec.structs.fields(PackOptions) if field.name in STORE_FIELDS),
)
_GROUPS = panels({
    "Packing": ("config", "staging", "package", "resume", "overwrite"),
    "Job": ("name", "role", "region", "request", "dry_run", "detach", "stop_on_interrupt"),
    "Spark on EMR": ("release", "conf", "executors", "executor_cores", "logs", "log_group"),
    "EMR on EC2": ("instance_type", "instances", "spot_tasks", "service_role", "subnet"),
    "EMR Serverless, EMR on EKS": ("application", "virtual_cluster", "image"),
    "Glue": ("worker_type", "workers", "modules", "glue_job"),
    RUN_GROUP: (),
}) | BUCKET_GROUP  # fmt: skip
EPILOG = """Examples:

  shardpack submit emr-serverless --config pack.yaml --staging s3://bucket/jobs --package shardpack_env.tar.gz \\
    --application 00f1abcd --role arn:aws:iam::123456789012:role/shardpack-pack
  shardpack submit emr --config pack.yaml --staging s3://bucket/jobs --package shardpack_env.tar.gz \\
    --role shardpack-nodes --instances 2 --spot-tasks 8 --stop-on-interrupt
  shardpack submit glue --config pack.yaml --staging s3://bucket/jobs --package shardpack-0.1.0-py3-none-any.whl \\
    --role arn:aws:iam::123456789012:role/shardpack-pack --workers 20 --dry-run
  shardpack submit sagemaker --request job.json    # of: shardpack sagemaker s3://bucket/shards ... --job job.json"""


@partial(with_fields, fields=_FIELDS, groups=_GROUPS)
def submit(
    given: dict[str, Any],
    target: Annotated[str, typer.Argument(metavar="TARGET", help=", ".join(SubmitTarget), show_default=False)],
    json: Json = False,
) -> None:
    """Send a job to TARGET and follow it: packing to EMR or Glue, training to SageMaker.

    A job goes on when this command is interrupted. Its requests are checked against the description of the service
    that botocore carries before anything is uploaded or sent.
    """
    output = Output(as_json=json)
    reach = {name: value for name, value in given.items() if name in STORE_FIELDS}
    own = {name: value for name, value in given.items() if name not in STORE_FIELDS}
    options = convert_options({**own, "target": target}, SubmitOptions)
    from packer.submitting.services import TARGETS
    from packer.submitting.submit_run import submit as run_submit

    check_all_is_used(frozenset(own), options.target, TARGETS[options.target].fields)
    place = place_options(options.staging or ".", reach)
    values: dict[str, Any] = {}
    if "config" in TARGETS[options.target].fields:
        if options.config is None:
            raise OptionsError("expected a file of the options of pack, got none", field="config")
        values = load_config(options.config, place.source_store())
    output.submitted(run_submit(options, values, place, output.progress))
