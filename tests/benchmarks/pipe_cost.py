"""The same shards through a Pipe channel and as files: wall time of a loop over `iter_samples`, with all checks.

    python -m tests.benchmarks.pipe_cost [--records N] [--image-bytes N] [--rounds N] [--json FILE]

A process of its own feeds the FIFO, in one of two ways. One splices pages of the files into it, as local jobs do,
which shows what the reader can take. The other copies, as most feeders do: reader and writer then take turns at the
pipe's lock for two copies of each byte, which bounds both, whatever the reader does. All ways are read in turns in one
process, and only its own CPU time is counted. Images are noise, by default as large as a packed photograph.
"""

from __future__ import annotations

import argparse
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from packer.formats.container import Sample
from packer.reading.dataset import open_dataset
from packer.reading.job_channels import ChannelSource, Place, open_channels
from packer.reading.records import ReadSpec, iter_samples
from packer.specs import FormatName
from tests.benchmarks.measure import create_parser, in_turns, median, report
from tests.reading.containers import place_shards, write_job
from tests.reading.make_dataset import deal, make_dataset
from tests.tools.datasets import STREAMED

WANTED_RATIO = 0.8
"""Of the speed of files, from a feeder that is no bound itself."""
_SHARDS = 8
_FEEDER = """
import os, sys
way, fifo, *shards = sys.argv[1:]
os.mkfifo(fifo)
print("made", flush=True)

def copy(file, pipe):
    while chunk := file.read(1 << 20):
        view = memoryview(chunk)
        while view:
            view = view[pipe.write(view) :]

def splice(file, pipe):
    while os.splice(file.fileno(), pipe.fileno(), 1 << 20):
        pass

with open(fifo, "wb", buffering=0) as pipe:
    for shard in shards:
        with open(shard, "rb", buffering=0) as file:
            (copy if way == "copied" else splice)(file, pipe)
"""
FEEDERS = ("spliced", "copied")

Cost = tuple[float, float]
"""Seconds of wall time and of CPU time of the reader."""


def main() -> None:
    parser = create_parser("reading Pipe channels")
    parser.add_argument("--records", type=int, default=4000, metavar="N")
    parser.add_argument("--image-bytes", type=int, default=44_000, metavar="N")
    given = parser.parse_args()
    figures: dict[str, Any] = {"num_records": given.records, "image_bytes": given.image_bytes}
    rows = []
    for container in STREAMED:
        with tempfile.TemporaryDirectory() as folder:
            costs = _measure(Path(folder), container, given)
        figures[container.value] = costs
        for way, cost in costs.items():
            ratio = cost["records_per_s"] / costs["File"]["records_per_s"]
            cost["against_files"] = ratio
            remark = (
                f"{ratio:.2f} of File, wanted {WANTED_RATIO}" if way.endswith(FEEDERS[0]) else f"{ratio:.2f} of File"
            )
            figure = f"{cost['records_per_s']:,.0f} records/s, {cost['cpu_us_per_record']:.1f} us CPU"
            rows.append((f"{container}, {way}", figure, remark))
    report("pipe_cost", rows, figures, given.json)


def _measure(folder: Path, container: FormatName, given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the median costs of a record by way."""
    data = _write_dataset(folder / "data", container, given)
    shards = open_dataset(str(data)).manifest.split("train").shards
    whole = write_job(folder / "file", data, {"train": ("File", "ShardedByS3Key")})
    place_shards(whole, "train", data, shards)
    piped = write_job(folder / "pipe", data, {"train0": ("Pipe", "ShardedByS3Key")})
    files, pipes = (open_channels(job.base_dir, Place()) for job in (whole, piped))
    epochs = itertools.count()

    def read_pipe(way: str) -> Cost:
        command = [sys.executable, "-c", _FEEDER, way, piped.fifo("train0", epoch=next(epochs))]
        command += [str(data / shard.key) for shard in shards]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as feeder:
            assert feeder.stdout is not None
            feeder.stdout.readline()
            cost = _read(pipes, given.records)
            assert feeder.wait() == 0
        return cost

    calls: dict[str, Callable[[], Cost]] = {"File": lambda: _read(files, given.records)}
    calls |= {f"Pipe, {way}": partial(read_pipe, way) for way in FEEDERS}
    in_turns(calls, 1)  # warms the page cache; not counted
    return {
        way: {
            "records_per_s": given.records / median([wall_s for wall_s, _ in costs]),
            "cpu_us_per_record": 1e6 * median([cpu_s for _, cpu_s in costs]) / given.records,
        }
        for way, costs in in_turns(calls, given.rounds).items()
    }


def _read(source: ChannelSource, num_records: int) -> Cost:
    started_s, cpu_started_s = time.perf_counter(), time.process_time()
    seen = sum(1 for _ in iter_samples(source, "train", ReadSpec()))
    cost = time.perf_counter() - started_s, time.process_time() - cpu_started_s
    assert seen == num_records
    return cost


def _write_dataset(root: Path, container: FormatName, given: argparse.Namespace) -> Path:
    noise = random.Random(0)
    samples = [
        Sample(
            key=f"n{index}.jpg",
            encoded=noise.randbytes(given.image_bytes + index % 97),
            image_format="jpeg",
            label=index % 1000,
        )
        for index in range(given.records)
    ]
    make_dataset(root, {"train": deal(samples, _SHARDS)}, container=container)
    return root


if __name__ == "__main__":
    main()
