"""``shardpack plan``: what `pack` would make."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from packer.cli.command_options import Config, Json, given_values, with_pack_options
from packer.cli.output import Output
from packer.compared_settings import parse_machine, parse_settings
from packer.engines.create import create_engine
from packer.errors import OptionsError
from packer.options import parse_options
from packer.packing import TASK_MODULES
from packer.spark_sizing import parse_nodes
from packer.specs import EngineName

EPILOG = """Examples:

  shardpack plan photos/ --gpus 16
  shardpack plan s3://bucket/photos/ --gpus 16 --split train=0.9,val=0.1 --json
  shardpack plan s3://bucket/photos/ --gpus 16 --engine spark --on G.1X:10
  shardpack plan photos/ --gpus 2 --compare size=224,256,384 quality=85,95 --on c7i.4xlarge"""

_COMPARE_HELP = (
    "settings to put side by side: every combination of these, such as size=224,256 quality=85,95; size stands for "
    "--resize"
)
Compare = Annotated[list[str] | None, typer.Option("--compare", metavar="NAME=VALUE,...", help=_COMPARE_HELP)]
_ON_HELP = (
    "with --compare, an instance type, or 10dpu or 64vcpu, to say the time of packing for; with --engine spark, nodes "
    "as TYPE:COUNT (G.1X:10, m6i.2xlarge:4, serverless:20), to say executors, memory, time and price for"
)
On = Annotated[str | None, typer.Option("--on", metavar="MACHINE", help=_ON_HELP)]


@with_pack_options
def plan(
    given: dict[str, Any], config: Config = None, compare: Compare = None, on: On = None, json: Json = False
) -> None:
    """Show what pack would make of SOURCE: splits, shards and sizes. Writes nothing; DEST may be left out.

    With --compare, show what it would make under several settings, and which to take. With --engine spark --on, show
    what the job would have, take and cost there; images are measured on this machine.
    """
    output = Output(as_json=json)
    values = given_values(given, config)
    options = parse_options({"dest": "packed", **values})
    nodes = None
    if on and options.engine is EngineName.SPARK and not compare:  # measured here, as no Spark is needed for that
        nodes = parse_nodes(on)
        values["engine"] = EngineName.LOCAL
        options = parse_options({"dest": "packed", **values})
    elif on and not compare:
        raise OptionsError("expected with `compare`, such as size=224,256, or `engine=spark`", field="on")
    machine = parse_machine(on) if on and compare else None
    settings = parse_settings(compare or (), {"dest": "packed", **values})
    # Started before the imports that this process has to do: its workers do theirs at the same time.
    with closing(create_engine(options.engine, options.workers, modules=TASK_MODULES)) as engine:
        from packer.pipeline import check_places
        from packer.plan_costs import traffic_of
        from packer.prepare import make_plan
        from packer.run import Run
        from packer.stores.open_store import open_store

        if "dest" in values:
            check_places(options)
        dest = open_store(options.dest, options.dest_store())
        run = Run(options=options, engine=engine, progress=output.progress, source=options.source, dest=dest)
        if compare or nodes:
            from packer.comparing import compare as compare_settings

            compared = compare_settings(run, settings, dest=values.get("dest"), machine=machine)
            if nodes:
                output.sized(compared, nodes)
            else:
                output.compared(compared)
            return
        planned, document = make_plan(run)
    output.planned(planned, traffic_of(planned, document, dest=values.get("dest")))
