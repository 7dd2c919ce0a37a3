"""The trainer's command line.

Exit codes: 0 done, 1 the work failed, 2 bad options or input, 130 interrupted, 143 stopped by SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from packer.channels.jobfiles import BASE_DIR_VARIABLE, DEFAULT_BASE_DIR
from packer.errors import PackerError
from packer.reading.read_spec import DEFAULT_PIPE_TIMEOUT_S
from packer.shown_text import shown
from packer.specs import StoreOptions
from packer.trainer.failure import put_failure
from packer.trainer.stopping import ending_at_sigterm
from packer.trainer.train_options import TrainOptions
from packer.trainer.training_run import run
from packer.trainer.world import World, parse_world

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_EVALUATE_ONLY = "evaluate the last checkpoint of --model-dir on --eval-split instead of training"
_FLAGS = ("--evaluate-only", "--anonymous", "--requester-pays")
_PIPE_TIMEOUT = "seconds to wait for a Pipe channel's epoch or its next byte"


@app.command()
def train_command(
    data: Annotated[
        str, typer.Option(help="path or URI of a data set (default: the channels of a SageMaker job)")
    ] = "",
    manifest: Annotated[str, typer.Option(help="data set in the channels, if none of them carries its manifest")] = "",
    epochs: Annotated[int, typer.Option(help="epochs in all, those of a checkpoint included")] = 1,
    batch_size: Annotated[int, typer.Option(help="samples per rank and step")] = 32,
    image_size: Annotated[int, typer.Option(help="width and height of the images in pixels")] = 64,
    learning_rate: Annotated[float, typer.Option(help="for one rank; multiplied by the number of ranks")] = 0.05,
    warmup_epochs: Annotated[float, typer.Option(help="epochs over which the rate climbs")] = 1.0,
    model_dir: Annotated[str, typer.Option(help="folder for rank 0's checkpoints; goes on from one there")] = "",
    export: Annotated[str, typer.Option(help="folder in which rank 0 puts the trained model as 1/, a SavedModel")] = "",
    metrics: Annotated[str, typer.Option(help="JSON file that rank 0 writes at the end")] = "",
    seed: Annotated[int, typer.Option(help="seed of weights, order and crops")] = 0,
    split: Annotated[str, typer.Option(help="training split")] = "train",
    eval_split: Annotated[str, typer.Option(help="split to evaluate after each epoch (default: none)")] = "",
    evaluate_only: Annotated[bool, typer.Option("--evaluate-only", help=_EVALUATE_ONLY)] = False,
    pipe_timeout: Annotated[float, typer.Option(help=_PIPE_TIMEOUT)] = DEFAULT_PIPE_TIMEOUT_S,
    endpoint_url: Annotated[str, typer.Option(help="address of an S3 server (default: as boto3 finds it)")] = "",
    profile: Annotated[str, typer.Option(help="AWS profile (default: as boto3 finds it)")] = "",
    anonymous: Annotated[bool, typer.Option("--anonymous", help="read public data without credentials")] = False,
    requester_pays: Annotated[bool, typer.Option("--requester-pays", help="pay for requests")] = False,
    timeout: Annotated[int, typer.Option(help="seconds a request to a bucket may stand still")] = 30,
) -> None:
    """Train a small image classifier on a packed data set, as one process or one of many."""
    with _reporting(_base_dir()) as world:
        options = TrainOptions(
            data=data,
            manifest=manifest,
            base_dir=_base_dir(),
            epochs=epochs,
            batch_size=batch_size,
            image_size=image_size,
            learning_rate=learning_rate,
            warmup_epochs=warmup_epochs,
            model_dir=model_dir,
            export=export,
            metrics=metrics,
            seed=seed,
            split=split,
            eval_split=eval_split,
            evaluate_only=evaluate_only,
            pipe_timeout=pipe_timeout,
            store=_store_options(endpoint_url, profile, anonymous, requester_pays, timeout),
        )
        run(options, world, announce=_announce, warn=_warn)


def _base_dir() -> str:
    return os.environ.get(BASE_DIR_VARIABLE, DEFAULT_BASE_DIR)


def _store_options(
    endpoint_url: str, profile: str, anonymous: bool, requester_pays: bool, timeout_s: int
) -> StoreOptions:
    return StoreOptions(
        endpoint_url=endpoint_url or None,
        profile=profile or None,
        anonymous=anonymous,
        requester_pays=requester_pays,
        timeout_s=timeout_s,
    )


@contextlib.contextmanager
def _reporting(base_dir: str) -> Iterator[World]:
    """Yield this process's place; tell a person and SageMaker of an error, and end at SIGTERM."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    world = World()
    try:
        world = parse_world(os.environ)
        with ending_at_sigterm():
            yield world
    except PackerError as error:
        put_failure(base_dir, world, str(error))
        typer.echo(f"error: {shown(str(error))}", err=True)
        raise typer.Exit(error.exit_code) from None
    except Exception as error:
        put_failure(base_dir, world, f"{type(error).__name__}: {error}")
        raise


def main() -> None:
    """Run the command line and end the process."""
    app(drop_flag_values(sys.argv[1:]), prog_name="python -m packer.trainer")


def drop_flag_values(arguments: Sequence[str]) -> list[str]:
    """Return a command line whose flags have no values: a flag with true stands alone, one with false is left out.

    SageMaker's toolkit gives each option a value, so the hyperparameter anonymous=true comes as ``--anonymous True``.
    """
    kept: list[str] = []
    for argument in arguments:
        if kept and kept[-1] in _FLAGS and argument.lower() in ("true", "1"):
            continue
        if kept and kept[-1] in _FLAGS and argument.lower() in ("false", "0"):
            kept.pop()
            continue
        kept.append(argument)
    return kept


def _announce(line: str) -> None:
    typer.echo(shown(line))


def _warn(line: str) -> None:
    typer.echo(f"warning: {shown(line)}", err=True)
