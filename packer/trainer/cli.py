"""The trainer's command line. Its options are the fields of `TrainOptions` and of the values in it.

Exit codes: 0 done, 1 the work failed, 2 bad options or input, 130 interrupted, 143 stopped by SIGTERM.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, get_args, get_origin

import msgspec
import typer

from packer.channels.jobfiles import BASE_DIR_VARIABLE, DEFAULT_BASE_DIR
from packer.errors import PackerError
from packer.flags import option_name, with_flags
from packer.help_page import LAST_GROUP, RUN_GROUP, HelpCommand, panels
from packer.logs import LogSettings, start_logs
from packer.options import PackOptions
from packer.shown_text import shown
from packer.specs import StoreOptions
from packer.trainer.core.failure import put_failure
from packer.trainer.core.recipe import PRESETS, Recipe, find_preset
from packer.trainer.core.stopping import Stopper, ending_at_sigterm
from packer.trainer.core.train_options import PLAIN_FIELDS, CheckpointOptions, LogOptions, ReadingOptions, TrainOptions
from packer.trainer.core.training_run import Voice, run
from packer.trainer.core.world import World, parse_world
from packer.trainer.frameworks import NAMES, open_framework

_GROUPS = panels(
    {
        "Recipe": Recipe.__struct_fields__,
        "Checkpoints": CheckpointOptions.__struct_fields__,
        "Log": LogOptions.__struct_fields__,
        "Reading": ReadingOptions.__struct_fields__,
        RUN_GROUP: LogSettings.__struct_fields__,
    }
)
_BUCKET = partial(typer.Option, rich_help_panel=LAST_GROUP)
_ALIASES = {"log": ("--events",)}
"""torchrun takes --log for one of its own options, wherever it stands."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_EPILOG = """Examples:

  python -m packer.trainer --data shards/ --epochs 5 --eval-split val --model resnet18 --image-size 128
  torchrun --nproc-per-node 8 -m packer.trainer --data shards/ --preset imagenet --precision bf16 --eval-split val
  mpirun -np 16 python -m packer.trainer --data s3://bucket/shards --preset imagenet --eval-split val
  python -m packer.trainer --data shards/ --model-dir run/ --checkpoint-steps 500 --events run/events.jsonl
  python -m packer.trainer --data shards/ --simulate-step 64ms"""


def train(
    given: dict[str, Any],
    *,
    framework: Annotated[str, typer.Option(help=f"{' or '.join(NAMES)} (default: torch where it is installed)")] = "",
    collective: Annotated[str, typer.Option(help="how ranks speak: ddp or horovod (default: the launcher's way)")] = "",
    preset: Annotated[str, typer.Option(help=f"a published recipe: {', '.join(PRESETS)}")] = "",
    endpoint_url: Annotated[str, _BUCKET(help="address of an S3 server (default: as boto3 finds it)")] = "",
    profile: Annotated[str, _BUCKET(help="AWS profile (default: as boto3 finds it)")] = "",
    anonymous: Annotated[bool, _BUCKET("--anonymous", help="read public data without credentials")] = False,
    requester_pays: Annotated[bool, _BUCKET("--requester-pays", help="pay for requests")] = False,
    timeout: Annotated[int, _BUCKET(help="seconds a request to a bucket may stand still")] = 30,
) -> None:
    """Train an image classifier on a packed data set, as one process or one of many."""
    with _reporting(_base_dir()) as place:
        store = StoreOptions(
            endpoint_url=endpoint_url or None,
            profile=profile or None,
            anonymous=anonymous,
            requester_pays=requester_pays,
            timeout_s=timeout,
        )
        options = build_options(given, preset=preset, base_dir=_base_dir(), store=store)
        chosen = open_framework(framework, place.world, collective)
        run(options, place.world, chosen, place.stopper, Voice(announce=_announce, warn=_warn))


def build_options(given: Mapping[str, Any], *, preset: str, base_dir: str, store: StoreOptions) -> TrainOptions:
    """Return the options that were given over those of a preset over the defaults. Raises OptionsError."""

    def pick(names: Sequence[str]) -> dict[str, Any]:
        return {name: given[name] for name in names if name in given}

    return TrainOptions(
        **pick(PLAIN_FIELDS),
        base_dir=base_dir,
        recipe=msgspec.structs.replace(find_preset(preset), **pick(Recipe.__struct_fields__)),
        checkpoints=CheckpointOptions(**pick(CheckpointOptions.__struct_fields__)),
        log=LogOptions(**pick(LogOptions.__struct_fields__)),
        reading=ReadingOptions(**pick(ReadingOptions.__struct_fields__)),
        store=store,
    )


def list_fields() -> list[msgspec.structs.FieldInfo]:
    """Return the fields that are options, in the order of the help."""
    plain = [field for field in msgspec.structs.fields(TrainOptions) if field.name in PLAIN_FIELDS]
    nested = (msgspec.structs.fields(struct) for struct in (Recipe, CheckpointOptions, LogOptions, ReadingOptions))
    return [*plain, *(field for fields in nested for field in fields)]


def in_flags(text: str) -> str:
    """Return text with the trainer's flags, and those of packing, in place of the names of fields."""
    own = {*inspect.signature(train).parameters, *(field.name for field in list_fields()), "events"}
    return with_flags(text, {*own, *PackOptions.__struct_fields__, "decode"})


def _make_command() -> Any:
    """Return `train` with one parameter for each field, in the place of `given`."""
    own = [p for p in inspect.signature(train, eval_str=True).parameters.values() if p.name != "given"]
    generated = [_parameter(field) for field in (*list_fields(), *msgspec.structs.fields(LogSettings))]

    def command(**parameters: Any) -> None:
        logs = {field.name: parameters.pop(field.name) for field in msgspec.structs.fields(LogSettings)}
        if any(value is not None for value in logs.values()):
            start_logs(LogSettings(**{name: value for name, value in logs.items() if value is not None}))
        given = {field.name: parameters.pop(field.name) for field in list_fields()}
        train({name: value for name, value in given.items() if value is not None}, **parameters)

    command.__signature__ = inspect.Signature([*generated, *own])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*generated, *own]}
    command.__doc__ = train.__doc__
    return command


def _parameter(field: msgspec.structs.FieldInfo) -> inspect.Parameter:
    kind, about = get_args(field.type)[:2]
    flag = option_name(field.name)
    is_list = get_origin(kind) is tuple
    described = ",".join(map(str, field.default)) if is_list else field.default
    text = in_flags(about.description or "") + ("" if described in ("", False) else f" [default: {described}]")
    declaration = (f"{flag}/--no-{flag[2:]}" if field.default else flag) if kind is bool else flag
    group = _GROUPS.get(field.name)
    option = typer.Option(
        declaration, *_ALIASES.get(field.name, ()), help=text, show_default=False, rich_help_panel=group
    )
    if is_list:
        option = typer.Option(
            declaration,
            help=text,
            metavar="N,...",
            parser=_parse_numbers,
            show_default=False,
            rich_help_panel=group,
        )
    hint: Any = Any if is_list else kind | None
    annotation = Annotated[hint, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _parse_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _base_dir() -> str:
    return os.environ.get(BASE_DIR_VARIABLE, DEFAULT_BASE_DIR)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    world: World
    stopper: Stopper


@contextlib.contextmanager
def _reporting(base_dir: str) -> Iterator[_Place]:
    """Yield this process's place; tell a person and SageMaker of an error, and end at SIGTERM."""
    world = World()
    try:
        world = parse_world(os.environ)
        with ending_at_sigterm() as stopper:
            yield _Place(world=world, stopper=stopper)
    except PackerError as error:
        text = in_flags(str(error))
        put_failure(base_dir, world, text)
        typer.echo(f"error: {shown(text)}", err=True)
        raise typer.Exit(error.exit_code) from None
    except Exception as error:
        put_failure(base_dir, world, f"{type(error).__name__}: {error}")
        raise


def main() -> None:
    """Run the command line and end the process."""
    app(drop_flag_values(sys.argv[1:]), prog_name="python -m packer.trainer")


def list_flags() -> dict[str, bool]:
    """Return the options that take no value, with what holds where they are not given."""
    own = inspect.signature(train).parameters.values()
    flags = {option_name(p.name): False for p in own if p.default is False}
    for field in (*list_fields(), *msgspec.structs.fields(LogSettings)):
        if isinstance(field.default, bool):
            flags[option_name(field.name)] = field.default
    return flags


def drop_flag_values(arguments: Sequence[str]) -> list[str]:
    """Return a command line whose flags have no values: a flag with true stands alone, one with false is left out.

    SageMaker's toolkit gives each option a value, so the hyperparameter anonymous=true comes as ``--anonymous True``.
    """
    flags = list_flags()
    kept: list[str] = []
    for argument in arguments:
        flag = kept[-1] if kept else ""
        if flag in flags and argument.lower() in ("true", "1"):
            continue
        if flag in flags and argument.lower() in ("false", "0"):
            kept.pop()
            if flags[flag]:
                kept.append(f"--no-{flag[2:]}")
            continue
        kept.append(argument)
    return kept


def _announce(line: str) -> None:
    typer.echo(shown(in_flags(line)))


def _warn(line: str) -> None:
    typer.echo(f"warning: {shown(in_flags(line))}", err=True)


train_command = _make_command()
app.command(name="train", cls=HelpCommand, epilog=_EPILOG)(train_command)
