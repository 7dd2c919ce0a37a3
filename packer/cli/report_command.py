"""``shardpack report``: a page that shows what is in a data set."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from packer.cli.command_options import READING_FIELDS, place_options, with_pack_options
from packer.cli.output import Output
from packer.errors import OptionsError

EPILOG = """Examples:

  shardpack report shards/ -o report.html
  shardpack report s3://bucket/shards -o report.html"""


@partial(with_pack_options, only=READING_FIELDS)
def report(
    given: dict[str, Any],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="a data set", show_default=False)],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="the page")] = "report.html",
    json: Annotated[bool, typer.Option("--json", help="print one JSON object as the last thing")] = False,
) -> None:
    """Write one HTML page that shows splits, classes, sizes, rejects, copies and pictures of DEST.

    The page needs no network and no other file. Of a large data set sizes, copies and pictures are sampled.
    """
    from packer.report.page import render_page
    from packer.report.report_facts import collect_facts

    shown = Output(as_json=json)
    facts = collect_facts(dest, place_options(dest, given).source_store())
    page = render_page(facts).encode()
    try:
        Path(output).write_bytes(page)
    except OSError as error:
        raise OptionsError(f"--output: {output} cannot be written: {error.strerror}; name another file") from None
    shown.reported(output, len(page))
