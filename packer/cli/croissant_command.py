"""``shardpack croissant``: a description of a data set that catalogues and loaders of others read."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from packer.cli.command_options import place_options, with_pack_options
from packer.cli.output import Output
from packer.options import STORE_FIELDS

EPILOG = """Examples:

  shardpack croissant shards/ --license https://creativecommons.org/licenses/by/4.0/ --creator "A Museum"
  shardpack croissant s3://bucket/shards --url https://example.org/set --card"""


@partial(with_pack_options, only=STORE_FIELDS)
def croissant(
    given: dict[str, Any],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="a data set", show_default=False)],
    name: Annotated[str, typer.Option(metavar="TEXT", help="name (default: from the plan's id)")] = "",
    description: Annotated[str, typer.Option(metavar="TEXT", help="description (default: the counts)")] = "",
    license: Annotated[str, typer.Option(metavar="URL", help="licence, as a URL or SPDX identifier")] = "",
    url: Annotated[str, typer.Option(metavar="URL", help="page of the data set")] = "",
    creator: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="organisation, or person:NAME; may be given again")
    ] = None,
    citation: Annotated[str, typer.Option(metavar="TEXT", help="how to cite it")] = "",
    card: Annotated[bool, typer.Option("--card", help="write a README.md of the same facts, too")] = False,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object as the last thing")] = False,
) -> None:
    """Write croissant.json (MLCommons Croissant 1.1) beside the manifest of DEST, from which it is made."""
    from packer.dataset.croissant import About, check_card, render_card, render_croissant
    from packer.dataset.load import load_manifest
    from packer.planning.layout import CARD_KEY, CROISSANT_KEY
    from packer.stores.open_store import open_store

    about = About(
        name=name, description=description, licence=license, url=url, creators=tuple(creator or ()), citation=citation
    )
    output = Output(as_json=json)
    store = open_store(dest, place_options(dest, given).dest_store())
    manifest = load_manifest(store)
    if card:
        check_card(store)
        store.put(CARD_KEY, [render_card(manifest, about)])
    document = render_croissant(manifest, about)
    store.put(CROISSANT_KEY, [document])
    output.reported(f"{store.uri}/{CROISSANT_KEY}", len(document))
    missing = [
        option for option, known in {"--license": license, "--url": url, "--creator": creator}.items() if not known
    ]
    if missing:
        output.progress.note(f"Croissant asks for what only you know: {', '.join(missing)}")
