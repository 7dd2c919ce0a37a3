"""``shardpack commit``: the last step after several runs of ``pack --part``."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from packer.cli.command_options import Dest, Json, place_options, with_pack_options
from packer.cli.output import Output
from packer.options import STORE_FIELDS

EPILOG = """Examples:

  shardpack commit shards/
  shardpack commit s3://bucket/shards --max-rejects 0.05"""


@partial(with_pack_options, only=STORE_FIELDS)
def commit(
    given: dict[str, Any],
    dest: Dest,
    max_rejects: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="share of rejected items that fails it (default: that of the first part)"),
    ] = None,
    json: Json = False,
) -> None:
    """Make a data set of the shards that several runs of pack --part have packed under DEST."""
    from packer.pipeline import commit_parts

    store = place_options(dest, given).dest_store()
    output = Output(as_json=json)
    output.packed(commit_parts(dest, store, max_rejects=max_rejects, progress=output.progress))
