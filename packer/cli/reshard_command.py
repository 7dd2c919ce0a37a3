"""``shardpack reshard``: a data set for other GPUs, shard size or container."""

from __future__ import annotations

from functools import partial
from typing import Any

from packer.cli.command_options import Json, with_pack_options
from packer.cli.output import Output
from packer.options import STORE_FIELDS, parse_options

_FIELDS = (
    *("source", "dest", "instances", "gpus_per_instance", "gpus", "format", "shard_size", "allow_fill"),
    *("engine", "workers", "resume", "overwrite", *STORE_FIELDS),
)
EPILOG = """Examples:

  shardpack reshard shards/ shards64/ --gpus 64
  shardpack reshard shards/ records/ --gpus 16 --format recordio"""


@partial(with_pack_options, only=_FIELDS)
def reshard(given: dict[str, Any], json: Json = False) -> None:
    """Copy the data set SOURCE to DEST for other GPUs, shard size or container; images are copied as they are.

    Without --gpus and --instances it is cut for as many GPUs as SOURCE is, and without --format into its container.
    """
    from packer.resharding import keep_settings
    from packer.resharding import reshard as run_reshard

    output = Output(as_json=json)
    output.packed(run_reshard(parse_options(keep_settings(given)), progress=output.progress))
