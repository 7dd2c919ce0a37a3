"""``shardpack doctor``: what of this machine matters."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from packer.cli.command_options import with_fields
from packer.cli.output import Output

EPILOG = """Examples:

  shardpack doctor
  shardpack doctor --json"""


@partial(with_fields, fields=())
def doctor(
    json: Annotated[bool, typer.Option("--json", help="print one JSON object as the last thing")] = False,
) -> None:
    """Show versions, codecs, Java, GPUs, the source of credentials and limits of this machine, and what to do."""
    from packer.doctor import run_checks

    Output(as_json=json).examined(run_checks())
