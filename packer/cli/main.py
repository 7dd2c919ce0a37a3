"""The command line: ``shardpack`` and ``python -m packer``.

Exit codes: 0 done; 1 the work failed or verification found a fault; 2 bad options or input; 130 interrupted; 143 ended
by SIGTERM.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from packer.cli.bench_command import EPILOG as BENCH_EPILOG
from packer.cli.bench_command import bench
from packer.cli.command_options import READING_FIELDS, load_config, place_options, with_fields, with_pack_options
from packer.cli.croissant_command import EPILOG as CROISSANT_EPILOG
from packer.cli.croissant_command import croissant
from packer.cli.doctor_command import EPILOG as DOCTOR_EPILOG
from packer.cli.doctor_command import doctor
from packer.cli.output import Output
from packer.cli.report_command import EPILOG as REPORT_EPILOG
from packer.cli.report_command import report
from packer.cli.sagemaker_command import EPILOG as SAGEMAKER_EPILOG
from packer.cli.sagemaker_command import sagemaker
from packer.cli.sagemaker_local_command import EPILOG as SAGEMAKER_LOCAL_EPILOG
from packer.cli.sagemaker_local_command import sagemaker_local
from packer.cli.show_command import EPILOG as SHOW_EPILOG
from packer.cli.show_command import show
from packer.cli.shown_line import say_line
from packer.cli.stop_signal import STOP
from packer.errors import PackerError
from packer.help_page import HelpCommand, HelpGroup
from packer.logs import stop_logs
from packer.options import STORE_FIELDS, PackOptions, parse_options

if TYPE_CHECKING:
    from packer.engines.engine import Engine

_FIRST_STEPS = """First steps:

  shardpack plan photos/ --gpus 16
  shardpack pack photos/ shards/ --gpus 16
  shardpack inspect shards/

shardpack COMMAND --help shows the options of a command and examples."""

app = typer.Typer(
    name="shardpack",
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Pack images into uniform training shards, and check what was packed.",
    epilog=_FIRST_STEPS,
)
_MAKE = partial(app.command, cls=HelpCommand, rich_help_panel="Make a data set")
_LOOK = partial(app.command, cls=HelpCommand, rich_help_panel="Look at it")
_TRAIN = partial(app.command, cls=HelpCommand, rich_help_panel="Train on it")

_Config = Annotated[str | None, typer.Option("--config", metavar="FILE", help="YAML or JSON file of options")]
_Json = Annotated[bool, typer.Option("--json", help="print one JSON object as the last thing on standard output")]
_Dest = Annotated[str, typer.Argument(metavar="DEST", help="a data set", show_default=False)]
_MaxRejects = Annotated[
    str | None,
    typer.Option(metavar="SHARE", help="share of rejected items that fails it (default: that of the first part)"),
]

_INTERRUPTED = 130
_RESHARD_OPTIONS = (
    *("source", "dest", "instances", "gpus_per_instance", "gpus", "format", "shard_size", "allow_fill"),
    *("engine", "workers", "resume", "overwrite", *STORE_FIELDS),
)
_PACK_EXAMPLES = """Examples:

  shardpack pack photos/ shards/ --instances 2 --gpus-per-instance 8
  shardpack pack photos/ shards/ --gpus 8 --split train=0.9,val=0.1 --stratify
  shardpack pack labels.csv shards/ --gpus 16 --format recordio --resize 224x224
  shardpack pack photos/ shards/ --config pack.yaml --resume
  shardpack pack photos/ shards/ --gpus 16 --part 0/4    # and 1/4, 2/4, 3/4; then: shardpack commit shards/"""
_COMMIT_EXAMPLES = """Examples:

  shardpack commit shards/
  shardpack commit s3://bucket/shards --max-rejects 0.05"""
_RESHARD_EXAMPLES = """Examples:

  shardpack reshard shards/ shards64/ --gpus 64
  shardpack reshard shards/ records/ --gpus 16 --format recordio"""
_PLAN_EXAMPLES = """Examples:

  shardpack plan photos/ --gpus 16
  shardpack plan s3://bucket/photos/ --gpus 16 --split train=0.9,val=0.1 --json"""
_VERIFY_EXAMPLES = """Examples:

  shardpack verify shards/
  shardpack verify s3://bucket/shards --decode --json"""
_INSPECT_EXAMPLES = """Examples:

  shardpack inspect shards/
  shardpack inspect s3://bucket/shards --json"""


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"shardpack {version('shardpack')}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _shardpack(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and end")
    ] = False,
) -> None:
    """Pack images into uniform training shards, check what was packed, and see whether loading it keeps up."""


@_MAKE(epilog=_PACK_EXAMPLES)
@with_pack_options
def pack(given: dict[str, Any], config: _Config = None, json: _Json = False) -> None:
    """Resize the images of SOURCE, pack them into shards under DEST and write its manifest."""
    output = Output(as_json=json)
    options = parse_options(_values(given, config))
    with _engine(options) as engine:
        from packer.pipeline import pack as run_pack

        result = run_pack(options, engine=engine, progress=output.progress)
    output.packed(result)


@_MAKE(epilog=_COMMIT_EXAMPLES)
@partial(with_pack_options, only=STORE_FIELDS)
def commit(given: dict[str, Any], dest: _Dest, max_rejects: _MaxRejects = None, json: _Json = False) -> None:
    """Make a data set of the shards that several runs of pack --part have packed under DEST."""
    from packer.pipeline import commit_parts

    store = place_options(dest, given).dest_store()
    output = Output(as_json=json)
    output.packed(commit_parts(dest, store, max_rejects=max_rejects, progress=output.progress))


@_MAKE(epilog=_RESHARD_EXAMPLES)
@partial(with_pack_options, only=_RESHARD_OPTIONS)
def reshard(given: dict[str, Any], json: _Json = False) -> None:
    """Copy the data set SOURCE to DEST for other GPUs, shard size or container; images are copied as they are.

    Without --gpus and --instances it is cut for as many GPUs as SOURCE is, and without --format into its container.
    """
    from packer.resharding import keep_settings
    from packer.resharding import reshard as run_reshard

    output = Output(as_json=json)
    output.packed(run_reshard(parse_options(keep_settings(given)), progress=output.progress))


@_MAKE(epilog=_PLAN_EXAMPLES)
@with_pack_options
def plan(given: dict[str, Any], config: _Config = None, json: _Json = False) -> None:
    """Show what pack would make of SOURCE: splits, shards and sizes. Writes nothing; DEST may be left out."""
    output = Output(as_json=json)
    values = _values(given, config)
    options = parse_options({"dest": "packed", **values})
    with _engine(options) as engine:
        from packer.formats.registry import get_format
        from packer.pipeline import check_places
        from packer.planning.costs import estimate_traffic
        from packer.prepare import make_plan
        from packer.run import Run
        from packer.stores.open_store import open_store

        if "dest" in values:
            check_places(options)
        dest = open_store(options.dest, options.dest_store())
        run = Run(options=options, engine=engine, progress=output.progress, source=options.source, dest=dest)
        planned, _ = make_plan(run)
    num_side_files = len(get_format(options.format).side_suffixes)
    traffic = estimate_traffic(planned.header, source_bytes=planned.source_bytes, num_side_files=num_side_files)
    output.planned(planned, traffic)


@_LOOK(epilog=_VERIFY_EXAMPLES)
@partial(with_pack_options, only=READING_FIELDS)
def verify(
    given: dict[str, Any],
    dest: _Dest,
    decode: Annotated[bool, typer.Option("--decode", help="decode every image too")] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="worker processes")] = None,
    json: _Json = False,
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


@_LOOK(epilog=_INSPECT_EXAMPLES)
@partial(with_pack_options, only=READING_FIELDS)
def inspect(given: dict[str, Any], dest: _Dest, json: _Json = False) -> None:
    """Show what DEST holds, from its manifest and its list of exact copies."""
    from packer.dataset.copies import count_copies, load_copies
    from packer.dataset.load import load_manifest
    from packer.stores.open_store import open_store

    store = open_store(dest, place_options(dest, given).source_store())
    manifest = load_manifest(store)
    Output(as_json=json).inspected(store.uri, manifest, count_copies(load_copies(store)))


_TRAIN(epilog=BENCH_EPILOG)(with_pack_options(bench, only=READING_FIELDS))
_LOOK(epilog=SHOW_EPILOG)(with_pack_options(show, only=READING_FIELDS))
_LOOK(epilog=DOCTOR_EPILOG)(with_fields(doctor, ()))
_MAKE(epilog=CROISSANT_EPILOG)(with_pack_options(croissant, only=STORE_FIELDS))
_LOOK(epilog=REPORT_EPILOG)(with_pack_options(report, only=READING_FIELDS))
_TRAIN(epilog=SAGEMAKER_EPILOG)(sagemaker)
_TRAIN(epilog=SAGEMAKER_LOCAL_EPILOG)(with_pack_options(sagemaker_local, only=READING_FIELDS))


@contextmanager
def _engine(options: PackOptions) -> Iterator[Engine]:
    """Start the engine before the imports that this process has to do: its workers do theirs at the same time."""
    from packer.engines.create import create_engine
    from packer.packing import TASK_MODULES

    engine = create_engine(options.engine, options.workers, modules=TASK_MODULES)
    try:
        yield engine
    finally:
        engine.close()


def _values(given: dict[str, Any], config: str | None) -> dict[str, Any]:
    """Return the options of the command line over those of the file, which is reached as DEST is."""
    if not config:
        return given
    reach = {name: value for name, value in given.items() if name in STORE_FIELDS}
    return {**load_config(config, place_options(config, reach).dest_store()), **given}


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
        message = _usage_problem(error)
        return _fail(message, 2, arguments) if message else 2
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return 1
    except OSError as error:
        _discard_output()
        return _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 1, ())
    if code == _INTERRUPTED:  # Typer makes this code of a KeyboardInterrupt, and says nothing
        is_pack = arguments[:1] == ["pack"]
        remedy = "; what was packed stays: the same command with --resume goes on from there" if is_pack else ""
        return _fail(f"{STOP.word}{remedy}", STOP.code, arguments)
    return code if isinstance(code, int) else 0


def _usage_problem(error: typer.TyperException) -> str:
    """Return what is wrong with a command line; of options that are like the one given, the likeliest."""
    likely = getattr(error, "possibilities", None)
    if likely:
        return f"{error.message}; did you mean {likely[0]}?"
    return error.format_message() if hasattr(error, "format_message") else str(error)


def _fail(text: str, code: int, arguments: Sequence[str]) -> int:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments  # what follows is another command
    if "--json" in own:
        Output(as_json=True).failed(text, code)
    say_line(text, level="error", before="shardpack: ")
    return code


def _discard_output() -> None:
    """Send what is left for standard output nowhere, since nobody reads it, or it cannot be written."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
