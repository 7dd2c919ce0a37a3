"""``shardpack bench``: what loading a data set delivers on this machine, what binds, and what would help."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from packer.cli.command_options import READING_FIELDS, place_options, with_pack_options
from packer.cli.output import Output

EPILOG = """Examples:

  shardpack bench shards/
  shardpack bench s3://bucket/shards --step 64ms --batch-size 256 --gpus 8 --cache /nvme:200GB"""


@partial(with_pack_options, only=READING_FIELDS)
def bench(
    given: dict[str, Any],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="a data set", show_default=False)],
    split: Annotated[str, typer.Option("--split", help="which of its splits")] = "train",
    step: Annotated[
        str | None, typer.Option("--step", metavar="TIME", help="time of a training step, such as 64ms")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="images in a step of one GPU")] = 256,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="GPUs of this machine that take batches")] = 1,
    image_px: Annotated[int, typer.Option("--image-px", min=1, help="width and height of the images")] = 224,
    min_area: Annotated[float, typer.Option("--min-area", help="least share of a picture in a crop")] = 0.25,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="threads that make batches")] = None,
    cache: Annotated[str, typer.Option("--cache", metavar="FOLDER:SIZE", help="keeps shards of a bucket")] = "",
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="of each measurement")] = 10.0,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object as the last thing")] = False,
) -> None:
    """Measure what loading DEST delivers on this machine: images a second, CPU time by stage, what binds, what helps.

    With --step a consumer is simulated that takes a batch for each GPU in that time.
    """
    from packer.loading.bench_run import BenchOptions, parse_step, run_bench

    options = BenchOptions(
        dest=dest,
        split=split,
        batch_size=batch_size,
        image_px=image_px,
        threads=threads or 0,
        cache=cache,
        step_s=None if step is None else parse_step(step),
        num_gpus=gpus,
        seconds=seconds,
        min_area=min_area,
        store=place_options(dest, given).source_store(),
    )
    Output(as_json=json).benched(run_bench(options))
