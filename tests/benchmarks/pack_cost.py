"""What `shardpack pack` costs per photograph, against the codecs alone.

    python -m tests.benchmarks.pack_cost [FOLDER] [--rounds N] [--json FILE]

Two sets of photographs are packed in turns with the floor of `codec_floor`: the smaller set holds each photograph once,
as the floor sees it, the larger one several times. Their difference, in CPU time with one worker and in wall-clock time
with one and with two, is the cost of the photographs; what is left of the smaller set's cost is start-up, the images
measured before planning included.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import (
    add_photographs,
    create_parser,
    in_turns,
    list_photographs,
    median,
    report,
    run_process,
    spread,
)

_COPIES = 4
"""Of each photograph in the larger set; a multiple keeps the noise of starting up out of the difference."""
_SHARDS = 8


def main() -> None:
    parser = create_parser("cost of packing photographs")
    add_photographs(parser)
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="photographs at most")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = _measure(given, Path(folder))
    report("pack_cost", _rows(figures), figures, given.json)


def _measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    paths = list_photographs(given.photographs)[: given.images]
    sources = {"small": _link(paths, folder / "small")}
    sources["large"] = _link(sorted(sources["small"].iterdir()) * _COPIES, folder / "large")
    steps: list[dict[str, float]] = []
    walls: dict[str, list[float]] = {f"{name} {workers}": [] for name in sources for workers in (1, 2)}

    def floor() -> float:
        cost = run_process([sys.executable, "-m", "tests.benchmarks.codec_floor", *map(str, paths)])
        steps.append(json.loads(cost.stdout))
        return sum(steps[-1].values())

    def packing(name: str, workers: int) -> float:
        options = _arguments(sources[name], folder / "packed", workers)
        cost = run_process([sys.executable, "-m", "packer", *options])
        walls[f"{name} {workers}"].append(cost.wall_s)
        return cost.cpu_s

    calls = {
        "small 1": lambda: packing("small", 1),
        "floor": floor,
        "large 1": lambda: packing("large", 1),
        "large 2": lambda: packing("large", 2),
        "small 2": lambda: packing("small", 2),
        "first image": lambda: _first_image(sources["small"], folder / "packed"),
    }
    in_turns(calls, 1)  # fills the page cache; not counted
    for values in (steps, *walls.values()):
        values.clear()
    costs = in_turns(calls, given.rounds)
    return {
        "num_images": len(paths),
        **_cpu_figures(costs, num_images=len(paths)),
        "floor_steps_ms": {step: median([found[step] for found in steps]) for step in steps[0]},
        **_wall_figures(walls, num_images=len(paths)),
    }


def _cpu_figures(costs: dict[str, list[float]], *, num_images: int) -> dict[str, Any]:
    per_image = [1000 * cost / (num_images * (_COPIES - 1)) for cost in _differences(costs, "1")]
    return {
        "cpu_ms_per_image": median(per_image),
        "cpu_ms_per_image_rounds": per_image,
        "floor_ms": median(costs["floor"]),
        "ratio": median([a / b for a, b in zip(per_image, costs["floor"], strict=True)]),
        "start_up_cpu_s": median(costs["small 1"]) - num_images * median(per_image) / 1000,
        "first_image_s": median(costs["first image"]),
        "cpu_2_workers_over_1": median(_differences(costs, "2")) / median(_differences(costs, "1")),
    }


def _wall_figures(walls: dict[str, list[float]], *, num_images: int) -> dict[str, Any]:
    more = {workers: _differences(walls, workers) for workers in ("1", "2")}
    return {
        "images_per_s": {workers: num_images / median(walls[f"small {workers}"]) for workers in more},
        "images_per_s_after_start_up": {
            workers: num_images * (_COPIES - 1) / median(seconds) for workers, seconds in more.items()
        },
        "scaling_2_workers": median([one / two for one, two in zip(more["1"], more["2"], strict=True)]),
        "scaling_2_workers_rounds": [one / two for one, two in zip(more["1"], more["2"], strict=True)],
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
        ("packing over floor", f"{figures['ratio']:.2f}", "median of the rounds"),
        ("start-up, CPU", f"{figures['start_up_cpu_s']:.2f} s", "by the fit; 32 images measured before planning"),
        ("first image", f"{figures['first_image_s']:.2f} s", "from the start of the process"),
        ("images/s, 1 worker", f"{rates['1']:.0f}", f"{figures['num_images']} images, start-up included"),
        ("images/s, 2 workers", f"{rates['2']:.0f}", f"{rates['2'] / rates['1']:.2f} times one worker"),
        ("images/s after start-up, 1 worker", f"{later['1']:.0f}", ""),
        ("images/s after start-up, 2 workers", f"{later['2']:.0f}", scaling),
        ("CPU after start-up, 2 workers over 1", f"{figures['cpu_2_workers_over_1']:.2f}", ""),
    ]


def _link(paths: Sequence[Path], folder: Path) -> Path:
    """Not by symbolic links, which are in few data sets and cost packing a search of their own."""
    folder.mkdir()
    for index, path in enumerate(paths):
        linked = folder / f"{index:06d}.jpg"
        try:
            linked.hardlink_to(path.resolve())
        except OSError:  # on another file system
            shutil.copyfile(path, linked)
    return folder


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
