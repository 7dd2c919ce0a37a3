"""``shardpack inspect``: what a data set holds."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from packer.cli.command_options import READING_FIELDS, Dest, Json, place_options, with_pack_options
from packer.cli.output import Output

EPILOG = """Examples:

  shardpack inspect shards/
  shardpack inspect shards/ --classes
  shardpack inspect s3://bucket/shards --json"""


@partial(with_pack_options, only=READING_FIELDS)
def inspect(
    given: dict[str, Any],
    dest: Dest,
    classes: Annotated[bool, typer.Option("--classes", help="list every class with its items in each split")] = False,
    json: Json = False,
) -> None:
    """Show what DEST holds: splits, classes, image settings, fills, rejects, copies, and where it came from."""
    from packer.dataset.copies import count_copies, load_copies
    from packer.dataset.facts import load_facts
    from packer.dataset.load import load_manifest
    from packer.stores.open_store import open_store

    store = open_store(dest, place_options(dest, given).source_store())
    manifest = load_manifest(store)
    copies = count_copies(load_copies(store))
    Output(as_json=json).inspected(store.uri, manifest, copies, load_facts(store), classes=classes)
