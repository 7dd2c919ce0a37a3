"""The command line: ``shardpack`` and ``python -m packer``.

Exit codes: 0 done; 1 the work failed or verification found a fault; 2 bad options or input; 130 interrupted; 143 ended
by SIGTERM.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from packer import __version__
from packer.cli.command_group import CommandGroup
from packer.cli.output import Output
from packer.cli.shown_line import say_line
from packer.cli.stop_signal import STOP
from packer.errors import PackerError
from packer.logs import stop_logs
from packer.usage_problem import usage_problem

_FIRST_STEPS = """First steps:

  shardpack plan photos/ --gpus 16
  shardpack pack photos/ shards/ --gpus 16
  shardpack inspect shards/

shardpack COMMAND --help shows the options of a command and examples."""

app = typer.Typer(
    name="shardpack",
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Pack images into uniform training shards, and check what was packed.",
    epilog=_FIRST_STEPS,
)
_INTERRUPTED = 130


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"shardpack {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _shardpack(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and end")
    ] = False,
) -> None:
    """Pack images into uniform training shards, check what was packed, and see whether loading it keeps up."""


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors that were foreseen become one line on standard error.

    With ``--json`` an error is one JSON object on standard output, too.
    """
    try:
        return _run(arguments)
    finally:
        stop_logs()


def _run(arguments: list[str]) -> int:
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="shardpack", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except PackerError as error:
        code = _fail(str(error), error.exit_code, arguments)
        for line in "\n".join(getattr(error, "__notes__", ())).splitlines():
            say_line(line, level="error")
        return code
    except typer.TyperException as error:
        message = usage_problem(error, arguments)
        return _fail(message, 2, arguments) if message else 2
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return 1
    except OSError as error:
        return _fail_of_system(error, arguments)
    if code == _INTERRUPTED:  # Typer makes this code of a KeyboardInterrupt, and says nothing
        is_pack = arguments[:1] == ["pack"]
        remedy = "; what was packed stays: the same command with --resume goes on from there" if is_pack else ""
        return _fail(f"{STOP.word}{remedy}", STOP.code, arguments)
    return code if isinstance(code, int) else 0


def _fail(text: str, code: int, arguments: Sequence[str]) -> int:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments  # what follows is another command
    if "--json" in own:
        Output(as_json=True).failed(text, code)
    say_line(text, level="error", before="shardpack: ")
    return code


def _fail_of_system(error: OSError, arguments: list[str]) -> int:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        remedy = "; raise the limit with ulimit -n, or give fewer --workers"
        return _fail(f"{error.filename or 'no pipe for a worker'}: {error.strerror}{remedy}", 1, arguments)
    if not error.filename:  # a standard stream is at fault, so nothing more is written to it
        _discard_output()
        return _fail(f"input or output: {error.strerror or error}", 1, ())
    remedy = "; mend that, then go on with --resume" if arguments[:1] in (["pack"], ["reshard"]) else ""
    return _fail(f"{error.filename}: {error.strerror}{remedy}", 1, arguments)


def _discard_output() -> None:
    """Send what is left for standard output nowhere, since nobody reads it, or it cannot be written."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
