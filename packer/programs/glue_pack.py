"""``shardpack pack`` as the script of an AWS Glue job.

Job parameters are the options of the command line with ``--source`` and ``--dest``, each with a value, since Glue knows
no bare flags (``--stratify true``); hyphens and underscores are one. ``--config`` may be an ``s3://`` URI.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from py4j.java_gateway import JavaPackage
from pyspark.sql import SparkSession

import packer
from packer.cli.command_options import load_config
from packer.cli.output import Output
from packer.cli.shown_line import shown_line
from packer.flags import with_flags
from packer.logs import LogSettings, start_logs
from packer.pipeline import pack
from packer.typed_values import convert_options


def main() -> None:
    """Pack. A failure raises; success returns, since Glue may take any SystemExit, 0 too, for a failure."""
    output = Output(as_json=True)
    try:
        options = read_options(sys.argv)
        with glue_job(sys.argv):
            output.packed(pack(options, progress=output.progress))
    except packer.PackerError as error:
        message = with_flags(str(error), packer.PackOptions.__struct_fields__, arguments=())
        sys.exit(f"shardpack: {shown_line(message)}")


def read_options(arguments: list[str]) -> packer.PackOptions:
    """Return the options among a job's arguments, over those of its --config. Raises OptionsError."""
    fields = {"config", *LogSettings.__struct_fields__, *packer.PackOptions.__struct_fields__}
    present = sorted({text.partition("=")[0][2:] for text in arguments[1:] if text.startswith("--")})
    own = {name: name.replace("-", "_") for name in present if name.replace("-", "_") in fields}
    if foreign := [f"--{name}" for name in present if name not in own]:
        names = " ".join(foreign)
        print(shown_line(f"shardpack: parameters that are Glue's or unknown: {names}"), file=sys.stderr)  # noqa: T201
    resolved = getResolvedOptions(arguments, list(own))  # requires all that it is asked for, so only what is there
    given = {field: resolved[field] for field in own.values()}
    if logs := {name: given.pop(name) for name in LogSettings.__struct_fields__ if name in given}:
        start_logs(convert_options(logs, LogSettings))
    values = load_config(given.pop("config")) if "config" in given else {}
    values |= given
    return packer.parse_options({**values, "engine": "spark"})


@contextmanager
def glue_job(arguments: list[str]) -> Iterator[None]:
    """Open Glue's job and commit it on success; where Glue's classes are not, as on a laptop, do neither."""
    spark = SparkSession.builder.getOrCreate()
    if isinstance(spark._jvm.com.amazonaws.services.glue.util.Job, JavaPackage):
        return (yield)
    job, resolved = Job(spark), getResolvedOptions(arguments, ["JOB_NAME"])
    job.init(resolved["JOB_NAME"], resolved)
    yield
    job.commit()


if __name__ == "__main__":
    main()
