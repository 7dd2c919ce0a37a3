"""``shardpack show``: one record of a data set."""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from packer.cli.command_options import READING_FIELDS, place_options, with_pack_options
from packer.cli.output import Output
from packer.errors import OptionsError

EPILOG = """Examples:

  shardpack show shards/ 0
  shardpack show shards/ dogs/rex.jpg -o rex.jpg
  shardpack show s3://bucket/shards 17 --split val --json"""
_MAX_WIDTH_CHARS = 80


@partial(with_pack_options, only=READING_FIELDS)
def show(
    given: dict[str, Any],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="a data set", show_default=False)],
    record: Annotated[str, typer.Argument(metavar="KEY|N", help="a record's key, or its number in the split")] = "0",
    split: Annotated[str | None, typer.Option("--split", help="the split to look in")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="write the picture here")] = None,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object as the last thing")] = False,
) -> None:
    """Show one record of DEST: where it is, its label, fields and sizes, and its picture.

    The picture is drawn where the terminal has 24-bit colour, and written to a file with -o.
    """
    from packer.imaging.terminal_picture import draw_for_terminal
    from packer.reading.dataset import open_dataset
    from packer.reading.record_lookup import find_record

    found = find_record(open_dataset(dest, place_options(dest, given).source_store()), record, split=split)
    if output is not None:
        try:
            Path(output).write_bytes(found.sample.encoded)
        except OSError as error:
            raise OptionsError(f"--output: {output} cannot be written: {error.strerror}; name another file") from None
    shown = Output(as_json=json)
    shown.showed(found)
    if not json and sys.stdout.isatty() and os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        width = min(_MAX_WIDTH_CHARS, shutil.get_terminal_size().columns)
        if drawing := draw_for_terminal(found.sample.encoded, width_chars=width):
            sys.stdout.write(drawing + "\n")
