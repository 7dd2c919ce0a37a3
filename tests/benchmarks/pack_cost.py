"""What `shardpack pack` costs per photograph, against the codecs alone.

    python -m tests.benchmarks.pack_cost [FOLDER] [--work FOLDER] [--rounds N] [--json FILE]

Two sets of photographs are packed, with one worker and with two, beside the floor of `codec_floor`: the smaller set
holds each photograph once, the larger one several times, and the floor sees it as often. Their difference, in CPU time
with one worker and in wall-clock time with one and with two, is the cost of the photographs; what is left of the
smaller set's cost is start-up, the images measured before planning included. In a round all of these run in slices of
a second, one at a time, so that the machine is as fast for one as for the other. Two processes of the floor side by
side show what two cores of this machine are worth: less than two where they share a core's units, its clock or the
memory, and no packer can gain more.

The codecs of the floor touch no file. With ``--work /dev/shm`` all files lie in memory, and the ratio is what packing
itself adds; in a folder of a disk the file system and its driver are in it too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import (
    ProcessCost,
    add_photographs,
    create_parser,
    link_photographs,
    list_photographs,
    median,
    report,
    run_in_slices,
    run_process,
    spread,
)

_COPIES = 4
"""Of each photograph in the larger set; a multiple keeps the noise of starting up out of the difference."""
_SHARDS = 32
"""So many that the wait for the worker that ends last is short, as in collections of hundreds."""


def main() -> None:
    parser = create_parser("cost of packing photographs")
    add_photographs(parser)
    parser.add_argument("--work", metavar="FOLDER", help="where files lie [default: the folder for temporary files]")
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="photographs at most")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        figures = {"work": str(Path(folder).parent), **_measure(given, Path(folder))}
    report("pack_cost", _rows(figures), figures, given.json)


def _measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    paths = list_photographs(given.photographs)[: given.images]
    sources = {"small": link_photographs(paths, folder / "small")}
    sources["large"] = link_photographs(sorted(sources["small"].iterdir()) * _COPIES, folder / "large")
    commands = {
        f"{name} {workers}": ["packer", *_arguments(source, folder / f"{name}-{workers}", workers)]
        for name, source in sources.items()
        for workers in (1, 2)
    }
    for processes in (1, 2):
        passes = str(_COPIES // processes)
        commands[f"floor {processes}"] = ["tests.benchmarks.codec_floor", str(processes), passes, *map(str, paths)]
    costs: dict[str, list[ProcessCost]] = {name: [] for name in commands}
    first_images: list[float] = []
    for index in range(given.rounds + 1):
        found = run_in_slices([[sys.executable, "-m", *command] for command in commands.values()])
        first_image_s = _first_image(sources["small"], folder / "small-1")
        if index:  # the round before fills the page cache
            first_images.append(first_image_s)
            for name, cost in zip(commands, found, strict=True):
                costs[name].append(cost)
    floors = {n: [json.loads(cost.stdout) for cost in costs[f"floor {n}"]] for n in (1, 2)}
    floors_ms = {n: [sum(steps.values()) for steps in found] for n, found in floors.items()}
    return {
        "num_images": len(paths),
        **_cpu_figures(costs, floors_ms[1], num_images=len(paths)),
        "first_image_s": median(first_images),
        "floor_steps_ms": {step: median([steps[step] for steps in floors[1]]) for step in floors[1][0]},
        **_wall_figures(costs, num_images=len(paths)),
        "two_cores": median([2 * one / two for one, two in zip(floors_ms[1], floors_ms[2], strict=True)]),
    }


def _cpu_figures(costs: dict[str, list[ProcessCost]], floors_ms: list[float], *, num_images: int) -> dict[str, Any]:
    cpu_s = {name: [cost.cpu_s for cost in found] for name, found in costs.items()}
    per_image = [1000 * cost / (num_images * (_COPIES - 1)) for cost in _differences(cpu_s, "1")]
    ratios = [packing / floor for packing, floor in zip(per_image, floors_ms, strict=True)]
    return {
        "cpu_ms_per_image": median(per_image),
        "cpu_ms_per_image_rounds": per_image,
        "floor_ms": median(floors_ms),
        "ratio": median(ratios),
        "ratio_rounds": ratios,
        "start_up_cpu_s": median(cpu_s["small 1"]) - num_images * median(per_image) / 1000,
        "cpu_2_workers_over_1": median(_differences(cpu_s, "2")) / median(_differences(cpu_s, "1")),
    }


def _wall_figures(costs: dict[str, list[ProcessCost]], *, num_images: int) -> dict[str, Any]:
    walls = {name: [cost.wall_s for cost in found] for name, found in costs.items()}
    more = {workers: _differences(walls, workers) for workers in ("1", "2")}
    scalings = [one / two for one, two in zip(more["1"], more["2"], strict=True)]
    return {
        "images_per_s": {workers: num_images / median(walls[f"small {workers}"]) for workers in more},
        "images_per_s_after_start_up": {
            workers: num_images * (_COPIES - 1) / median(seconds) for workers, seconds in more.items()
        },
        "scaling_2_workers": median(scalings),
        "scaling_2_workers_rounds": scalings,
    }


def _differences(values: dict[str, list[float]], workers: str) -> list[float]:
    """Return round by round what the larger set took beyond the smaller one."""
    pairs = zip(values[f"small {workers}"], values[f"large {workers}"], strict=True)
    return [large - small for small, large in pairs]


def _rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    rates, later = figures["images_per_s"], figures["images_per_s_after_start_up"]
    steps = ", ".join(f"{step} {milliseconds:.2f}" for step, milliseconds in figures["floor_steps_ms"].items())
    scaling = f"{figures['scaling_2_workers']:.2f} times one worker, {spread(figures['scaling_2_workers_rounds'])}"
    return [
        ("packing, CPU per image", f"{figures['cpu_ms_per_image']:.2f} ms", spread(figures["cpu_ms_per_image_rounds"])),
        ("floor, CPU per image", f"{figures['floor_ms']:.2f} ms", steps),
        (
            "packing over floor",
            f"{figures['ratio']:.2f}",
            f"{spread(figures['ratio_rounds'])}, files in {figures['work']}",
        ),
        ("start-up, CPU", f"{figures['start_up_cpu_s']:.2f} s", "by the fit; 32 images measured before planning"),
        ("first image", f"{figures['first_image_s']:.2f} s", "from the start of the process"),
        ("images/s, 1 worker", f"{rates['1']:.0f}", f"{figures['num_images']} images, start-up included"),
        ("images/s, 2 workers", f"{rates['2']:.0f}", f"{rates['2'] / rates['1']:.2f} times one worker"),
        ("images/s after start-up, 1 worker", f"{later['1']:.0f}", ""),
        ("images/s after start-up, 2 workers", f"{later['2']:.0f}", scaling),
        ("CPU after start-up, 2 workers over 1", f"{figures['cpu_2_workers_over_1']:.2f}", ""),
        ("two cores of this machine", f"{figures['two_cores']:.2f}", "times one, by the floor alone"),
    ]


def _arguments(source: Path, dest: Path, workers: int) -> list[str]:
    options = ["--gpus", str(_SHARDS), "--allow-fill", "--flat", "--overwrite"]
    return ["pack", str(source), str(dest), *options, "--workers", str(workers)]


def _first_image(source: Path, dest: Path) -> float:
    started = time.monotonic()
    module = "tests.benchmarks.first_image"
    cost = run_process([sys.executable, "-m", module, *_arguments(source, dest, 1)])
    return float(cost.stdout.split()[0]) - started


if __name__ == "__main__":
    main()
