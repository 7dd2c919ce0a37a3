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
from typing import Annotated, Any

import msgspec
import typer

from packer.channels.jobfiles import BASE_DIR_VARIABLE, DEFAULT_BASE_DIR
from packer.errors import PackerError
from packer.flags import option_name, with_flags
from packer.help_page import LAST_GROUP, RUN_GROUP, HelpCommand, panels
from packer.logs import LogSettings
from packer.options import PackOptions
from packer.shown_text import shown
from packer.trainer.core.bucket_options import BucketOptions
from packer.trainer.core.failure import put_failure
from packer.trainer.core.feed_options import FeedOptions
from packer.trainer.core.recipe import PRESETS, Recipe, find_preset
from packer.trainer.core.stopping import Stopper, ending_at_sigterm
from packer.trainer.core.train_options import PLAIN_FIELDS, CheckpointOptions, LogOptions, ReadingOptions, TrainOptions
from packer.trainer.core.training_run import Voice, run
from packer.trainer.core.world import World, parse_world
from packer.trainer.frameworks import NAMES, open_framework
from packer.trainer.struct_command import CommandLook, make_command, pick_fields, run_alone

_GROUPS = panels(
    {
        "Recipe": Recipe.__struct_fields__,
        "Checkpoints": CheckpointOptions.__struct_fields__,
        "Log": LogOptions.__struct_fields__,
        "Reading": ReadingOptions.__struct_fields__,
        "Data hosts": FeedOptions.__struct_fields__,
        RUN_GROUP: LogSettings.__struct_fields__,
        LAST_GROUP: BucketOptions.__struct_fields__,
    }
)
_NESTED = (Recipe, CheckpointOptions, LogOptions, ReadingOptions, FeedOptions, BucketOptions)
_ALIASES = {"log": ("--events",)}
"""torchrun and horovodrun take --log for options of their own, wherever it stands."""

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
) -> None:
    """Train an image classifier on a packed data set, as one process or one of many."""
    with _reporting(_base_dir()) as place:
        options = build_options(given, preset=preset, base_dir=_base_dir())
        chosen = open_framework(framework, place.world, collective)
        run(options, place.world, chosen, place.stopper, Voice(announce=_announce, warn=_warn))


def build_options(given: Mapping[str, Any], *, preset: str, base_dir: str) -> TrainOptions:
    """Return the options: given values first, then those of the preset, then the defaults. Raises OptionsError."""
    return TrainOptions(
        **pick_fields(given, PLAIN_FIELDS),
        base_dir=base_dir,
        recipe=msgspec.structs.replace(find_preset(preset), **pick_fields(given, Recipe.__struct_fields__)),
        checkpoints=CheckpointOptions(**pick_fields(given, CheckpointOptions.__struct_fields__)),
        log=LogOptions(**pick_fields(given, LogOptions.__struct_fields__)),
        reading=ReadingOptions(**pick_fields(given, ReadingOptions.__struct_fields__)),
        feeding=FeedOptions(**pick_fields(given, FeedOptions.__struct_fields__)),
        store=BucketOptions(**pick_fields(given, BucketOptions.__struct_fields__)).to_store(),
    )


def list_fields() -> list[msgspec.structs.FieldInfo]:
    """Return the fields that are options, in the order of the help."""
    plain = [field for field in msgspec.structs.fields(TrainOptions) if field.name in PLAIN_FIELDS]
    return [*plain, *(field for struct in _NESTED for field in msgspec.structs.fields(struct))]


def in_flags(text: str) -> str:
    """Return text in which flags of the trainer and of packing replace the names of fields."""
    own = {*inspect.signature(train).parameters, *(field.name for field in list_fields()), "events"}
    return with_flags(text, {*own, *PackOptions.__struct_fields__, "decode"})


def _base_dir() -> str:
    return os.environ.get(BASE_DIR_VARIABLE, DEFAULT_BASE_DIR)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    world: World
    stopper: Stopper


@contextlib.contextmanager
def _reporting(base_dir: str) -> Iterator[_Place]:
    """Yield this process's world and stopper. Report an error to the user and to SageMaker; end at SIGTERM."""
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
    run_alone(app, drop_flag_values(sys.argv[1:]), program="python -m packer.trainer")


def list_flags() -> dict[str, bool]:
    """Return the flags that take no value, each with its default."""
    own = inspect.signature(train).parameters.values()
    flags = {option_name(p.name): False for p in own if p.default is False}
    for field in (*list_fields(), *msgspec.structs.fields(LogSettings)):
        if isinstance(field.default, bool):
            flags[option_name(field.name)] = field.default
    return flags


def list_names() -> list[str]:
    """Return the names of all options as a job's hyperparameters spell them: without leading dashes."""
    own = [p.name for p in inspect.signature(train_command).parameters.values()]
    return [*(option_name(name)[2:] for name in own), *(flag[2:] for flags in _ALIASES.values() for flag in flags)]


def drop_flag_values(arguments: Sequence[str]) -> list[str]:
    """Return a command line without values after flags: a flag given true keeps only its name, one given false goes.

    A flag that is on by default becomes ``--no-...`` when given false. SageMaker's toolkit passes a value with every
    option, so the hyperparameter anonymous=true arrives as ``--anonymous True``.
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


train_command = make_command(train, list_fields(), CommandLook(groups=_GROUPS, aliases=_ALIASES, spell=in_flags))
app.command(name="train", cls=HelpCommand, epilog=_EPILOG)(train_command)
