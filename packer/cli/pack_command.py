"""``shardpack pack``: a source of images into a data set."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from packer.cli.command_options import Config, Json, given_values, with_pack_options
from packer.cli.output import Output
from packer.engines.create import create_engine
from packer.options import parse_options
from packer.packing import TASK_MODULES

EPILOG = """Examples:

  shardpack pack photos/ shards/ --instances 2 --gpus-per-instance 8
  shardpack pack photos/ shards/ --gpus 8 --split train=0.9,val=0.1 --stratify
  shardpack pack labels.csv shards/ --gpus 16 --format recordio --resize 224x224
  shardpack pack photos/ shards/ --config pack.yaml --resume
  shardpack pack photos/ shards/ --gpus 16 --part 0/4    # and 1/4, 2/4, 3/4; then: shardpack commit shards/"""


@with_pack_options
def pack(given: dict[str, Any], config: Config = None, json: Json = False) -> None:
    """Resize the images of SOURCE, pack them into shards under DEST and write its manifest."""
    output = Output(as_json=json)
    options = parse_options(given_values(given, config))
    # Started before the imports that this process has to do: its workers do theirs at the same time.
    with closing(create_engine(options.engine, options.workers, modules=TASK_MODULES)) as engine:
        from packer.pipeline import pack as run_pack

        result = run_pack(options, engine=engine, progress=output.progress)
    output.packed(result)
