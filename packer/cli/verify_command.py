"""``shardpack verify``: a data set against its manifest."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from packer.cli.command_options import READING_FIELDS, Dest, Json, place_options, with_pack_options
from packer.cli.output import Output

EPILOG = """Examples:

  shardpack verify shards/
  shardpack verify s3://bucket/shards --decode --json"""


@partial(with_pack_options, only=READING_FIELDS)
def verify(
    given: dict[str, Any],
    dest: Dest,
    decode: Annotated[bool, typer.Option("--decode", help="decode every image too")] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="worker processes")] = None,
    json: Json = False,
) -> None:
    """Read every byte of DEST and compare it with its manifest; exit code 1 when anything differs."""
    from packer.dataset.load import load_manifest
    from packer.engines.local_engine import LocalEngine
    from packer.stores.open_store import open_store
    from packer.verifying import verify as run_verify

    options = place_options(dest, given).source_store()
    load_manifest(open_store(dest, options))  # before any process is started for nothing
    output = Output(as_json=json)
    with LocalEngine(workers) as engine:
        report = run_verify(dest, engine, output.progress, decode=decode, options=options)
    output.verified(report)
    if report.faults:
        raise typer.Exit(1)
