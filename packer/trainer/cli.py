"""The trainer's command line. Exit codes: 0 done, 1 the work failed, 2 bad options or input, 130 interrupted."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from packer.errors import PackerError
from packer.specs import StoreOptions
from packer.trainer.options import TrainOptions
from packer.trainer.run import train
from packer.trainer.world import parse_world

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train_command(
    data: Annotated[str, typer.Option(help="path or URI of a finished data set")],
    epochs: Annotated[int, typer.Option(help="epochs in all, those of a checkpoint included")] = 1,
    batch_size: Annotated[int, typer.Option(help="samples per rank and step")] = 32,
    image_size: Annotated[int, typer.Option(help="width and height of the images in pixels")] = 64,
    learning_rate: Annotated[float, typer.Option(help="for one rank; multiplied by the number of ranks")] = 0.05,
    warmup_epochs: Annotated[float, typer.Option(help="epochs over which the rate climbs")] = 1.0,
    model_dir: Annotated[str, typer.Option(help="folder for rank 0's checkpoints; goes on from one there")] = "",
    metrics: Annotated[str, typer.Option(help="JSON file that rank 0 writes at the end")] = "",
    seed: Annotated[int, typer.Option(help="seed of weights, order and crops")] = 0,
    split: Annotated[str, typer.Option(help="training split")] = "train",
    eval_split: Annotated[str, typer.Option(help="split to evaluate after each epoch (default: none)")] = "",
    endpoint_url: Annotated[str, typer.Option(help="address of an S3 server (default: as boto3 finds it)")] = "",
    profile: Annotated[str, typer.Option(help="AWS profile (default: as boto3 finds it)")] = "",
    anonymous: Annotated[bool, typer.Option("--anonymous", help="read public data without credentials")] = False,
    requester_pays: Annotated[bool, typer.Option("--requester-pays", help="pay for requests")] = False,
    timeout: Annotated[int, typer.Option(help="seconds a request to a bucket may stand still")] = 30,
) -> None:
    """Train a small image classifier on a packed data set, as one process or one of many."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        options = TrainOptions(
            data=data,
            epochs=epochs,
            batch_size=batch_size,
            image_size=image_size,
            learning_rate=learning_rate,
            warmup_epochs=warmup_epochs,
            model_dir=model_dir,
            metrics=metrics,
            seed=seed,
            split=split,
            eval_split=eval_split,
            store=StoreOptions(
                endpoint_url=endpoint_url or None,
                profile=profile or None,
                anonymous=anonymous,
                requester_pays=requester_pays,
                timeout_s=timeout,
            ),
        )
        train(options, parse_world(os.environ), announce=_announce)
    except PackerError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


def main() -> None:
    """Run the command line and end the process."""
    app(prog_name="python -m packer.trainer")


def _announce(line: str) -> None:
    typer.echo(line)
