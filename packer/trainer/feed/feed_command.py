"""The command line of a data host. Its options are the fields of `HostOptions`.

Exit codes: 0 the training is over, 1 no rank sent a message for too long, 2 bad options or input, 130 interrupted,
143 stopped by SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from packer.channels.jobfiles import BASE_DIR_VARIABLE, DEFAULT_BASE_DIR
from packer.errors import PackerError
from packer.flags import with_flags
from packer.help_page import LAST_GROUP, RUN_GROUP, HelpCommand, panels
from packer.logs import LogSettings
from packer.shown_text import shown
from packer.trainer.core.bucket_options import BucketOptions
from packer.trainer.feed.batch_host import BatchHost
from packer.trainer.feed.early_signals import SIGNALS, end_at_signals
from packer.trainer.feed.flight_host import FlightHost
from packer.trainer.feed.host_options import PLAIN_FIELDS, HostOptions
from packer.trainer.struct_command import CommandLook, make_command, pick_fields, run_alone

_LOOK_EVERY_S = 0.1
_LAST_ANSWER_S = 0.5
"""Seconds to wait before the end, so that the rank which reports the end of training gets its answer."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_EPILOG = """Examples:

  python -m packer.trainer.feed --data s3://bucket/shards --cache /nvme:200GB
  python -m packer.trainer.feed --data shards/ --token-file token --tls-cert host.pem --tls-key host.key
  python -m packer.trainer.feed --statistics data-1:8815,data-2:8815
  python -m packer.trainer --data s3://bucket/shards --feed data-1:8815,data-2:8815"""


def serve(
    given: dict[str, Any],
    *,
    statistics: Annotated[str, typer.Option(help="print as JSON what these data hosts have made, and end")] = "",
    finish: Annotated[str, typer.Option(help="tell these data hosts to end, and end")] = "",
    tls: Annotated[str, typer.Option(help="with these two: PEM file with the certificates to trust")] = "",
) -> None:
    """Make batches for ranks on other hosts, which name this one with the trainer's --feed, until training is over."""
    try:
        if statistics or finish:
            from packer.trainer.feed.host_client import ask_hosts

            for line in ask_hosts(statistics or finish, given.get("token_file", ""), tls, is_end=bool(finish)):
                typer.echo(shown(line))
            return
        code = _serve(build_options(given))
    except PackerError as error:
        typer.echo(f"error: {shown(_in_flags(str(error)))}", err=True)
        raise typer.Exit(error.exit_code) from None
    sys.stdout.flush()
    os._exit(code)  # the interpreter's own end would wait for threads of gRPC that serve ranks


def build_options(given: dict[str, Any]) -> HostOptions:
    """Return the given options, and defaults for the others. Raises OptionsError."""
    return HostOptions(
        **pick_fields(given, PLAIN_FIELDS),
        base_dir=os.environ.get(BASE_DIR_VARIABLE, DEFAULT_BASE_DIR),
        store=BucketOptions(**pick_fields(given, BucketOptions.__struct_fields__)).to_store(),
    )


def _serve(options: HostOptions) -> int:
    """Serve until training is over, and return the exit code."""
    end_at_signals()
    host = BatchHost(options)
    server = FlightHost(host, options)
    signals: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: signals.append(number))
    typer.echo(shown(f"data host of {host.uri} listens on {options.bind}:{server.port}"))
    started_s = time.monotonic()
    while not server.is_finished.wait(_LOOK_EVERY_S):
        if signals:
            return _end(host, f"stopped by {signal.Signals(signals[0]).name}", 128 + signals[0])
        limit_s = options.idle_timeout if host.has_heard else options.start_timeout
        silent_s = time.monotonic() - (host.last_word_s if host.has_heard else started_s)
        if silent_s > limit_s:
            return _end(host, f"no rank was heard of for {limit_s:g} s", 1)
    time.sleep(_LAST_ANSWER_S)
    return _end(host, "training is over", 0)


def _end(host: BatchHost, reason: str, code: int) -> int:
    """Print why the host ends and what it made, and return the exit code; open requests end with the process."""
    made = host.statistics()
    counts = f"made {made.batches:,} batches, {made.images:,} images, for {len(made.ranks)} ranks and splits"
    typer.echo(f"{shown(reason)}; {counts}")
    return code


def _in_flags(text: str) -> str:
    return with_flags(text, {*PLAIN_FIELDS, *BucketOptions.__struct_fields__})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line (the process's own if None) and end the process."""
    run_alone(app, sys.argv[1:] if arguments is None else arguments, program="python -m packer.trainer.feed")


_FIELDS = [
    *(field for field in msgspec.structs.fields(HostOptions) if field.name in PLAIN_FIELDS),
    *msgspec.structs.fields(BucketOptions),
]
_GROUPS = panels({RUN_GROUP: LogSettings.__struct_fields__, LAST_GROUP: BucketOptions.__struct_fields__})
app.command(name="feed", cls=HelpCommand, epilog=_EPILOG)(
    make_command(serve, _FIELDS, CommandLook(groups=_GROUPS, aliases={}, spell=_in_flags))
)
