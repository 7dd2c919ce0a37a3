"""``shardpack plan``: what `pack` would make."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from packer.cli.command_options import Config, Json, given_values, with_pack_options
from packer.cli.output import Output
from packer.engines.create import create_engine
from packer.options import parse_options
from packer.packing import TASK_MODULES

EPILOG = """Examples:

  shardpack plan photos/ --gpus 16
  shardpack plan s3://bucket/photos/ --gpus 16 --split train=0.9,val=0.1 --json"""


@with_pack_options
def plan(given: dict[str, Any], config: Config = None, json: Json = False) -> None:
    """Show what pack would make of SOURCE: splits, shards and sizes. Writes nothing; DEST may be left out."""
    output = Output(as_json=json)
    values = given_values(given, config)
    options = parse_options({"dest": "packed", **values})
    # Started before the imports that this process has to do: its workers do theirs at the same time.
    with closing(create_engine(options.engine, options.workers, modules=TASK_MODULES)) as engine:
        from packer.formats.registry import get_format
        from packer.pipeline import check_places
        from packer.planning.costs import estimate_traffic
        from packer.prepare import make_plan
        from packer.run import Run
        from packer.stores.open_store import open_store

        if "dest" in values:
            check_places(options)
        dest = open_store(options.dest, options.dest_store())
        run = Run(options=options, engine=engine, progress=output.progress, source=options.source, dest=dest)
        planned, _ = make_plan(run)
    num_side_files = len(get_format(options.format).side_suffixes)
    traffic = estimate_traffic(planned.header, source_bytes=planned.source_bytes, num_side_files=num_side_files)
    output.planned(planned, traffic)
