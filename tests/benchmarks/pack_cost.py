"""What `shardpack pack` costs per photograph, against the codecs alone.

    python -m tests.benchmarks.pack_cost [FOLDER] [--rounds N] [--json FILE]

Two sets of photographs, of which one holds the other, are packed in turns with the floor of `codec_floor`, which sees
the photographs that only the larger set has. Their difference is the cost per image; what is left of the smaller
set's cost is start-up, the 32 images measured before planning included.
"""

from __future__ import annotations

import argparse
import json
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

_SMALL_SHARE = 5
"""The smaller set is a fifth of the larger one."""
_SHARDS = 8


def main() -> None:
    parser = create_parser("cost of packing photographs")
    add_photographs(parser)
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="photographs of the larger set")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = _measure(given, Path(folder))
    report("pack_cost", _rows(figures), figures, given.json)


def _measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    paths = list_photographs(given.photographs)[: given.images]
    num_small = len(paths) // _SMALL_SHARE
    small, large = _link(paths[:num_small], folder / "small"), _link(paths, folder / "large")
    floors: dict[str, list[float]] = {"codecs": [], "codecs_and_counts": []}

    def floor() -> float:
        command = [sys.executable, "-m", "tests.benchmarks.codec_floor", *map(str, paths[num_small:])]
        cost = run_process(command)
        for name, milliseconds in json.loads(cost.stdout).items():
            floors[name].append(milliseconds)
        return 0.0

    walls: dict[str, list[float]] = {"1": [], "2": []}

    def packing(source: Path, workers: int) -> float:
        cost = run_process([sys.executable, "-m", "packer", *_arguments(source, folder / "packed", workers)])
        if source == large:
            walls[str(workers)].append(cost.wall_s)
        return cost.cpu_s

    calls = {
        "small": lambda: packing(small, 1),
        "floor": floor,
        "large": lambda: packing(large, 1),
        "large, 2 workers": lambda: packing(large, 2),
        "first image": lambda: _first_image(small, folder / "packed"),
    }
    in_turns(calls, 1)  # fills the page cache; not counted
    for values in (*floors.values(), *walls.values()):
        values.clear()
    costs = in_turns(calls, given.rounds)
    differences = [b - a for a, b in zip(costs["small"], costs["large"], strict=True)]
    return _figures(costs, differences, floors, walls, num_small=num_small, num_images=len(paths))


def _figures(
    costs: dict[str, list[float]],
    differences: Sequence[float],
    floors: dict[str, list[float]],
    walls: dict[str, list[float]],
    *,
    num_small: int,
    num_images: int,
) -> dict[str, Any]:
    per_image = [1000 * d / (num_images - num_small) for d in differences]
    start_up = median(costs["small"]) - num_small * median(per_image) / 1000
    wall_s = {workers: median(values) for workers, values in walls.items()}
    return {
        "num_images": num_images,
        "cpu_ms_per_image": median(per_image),
        "cpu_ms_per_image_rounds": per_image,
        "floor_ms": median(floors["codecs"]),
        "floor_with_hash_and_histogram_ms": median(floors["codecs_and_counts"]),
        "ratio": median([a / b for a, b in zip(per_image, floors["codecs"], strict=True)]),
        "ratio_with_hash_and_histogram": median(
            [a / b for a, b in zip(per_image, floors["codecs_and_counts"], strict=True)]
        ),
        "start_up_cpu_s": start_up,
        "first_image_s": median(costs["first image"]),
        "images_per_s": {workers: num_images / seconds for workers, seconds in wall_s.items()},
        "scaling_2_workers": wall_s["1"] / wall_s["2"],
        "cpu_2_workers_over_1": median(costs["large, 2 workers"]) / median(costs["large"]),
    }


def _rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    rates = figures["images_per_s"]
    return [
        ("packing, CPU per image", f"{figures['cpu_ms_per_image']:.2f} ms", spread(figures["cpu_ms_per_image_rounds"])),
        ("codecs alone", f"{figures['floor_ms']:.2f} ms", f"ratio {figures['ratio']:.2f}"),
        (
            "codecs, hash of source, histogram",
            f"{figures['floor_with_hash_and_histogram_ms']:.2f} ms",
            f"ratio {figures['ratio_with_hash_and_histogram']:.2f}",
        ),
        ("start-up, CPU", f"{figures['start_up_cpu_s']:.2f} s", "by the fit; 32 images measured before planning"),
        ("first image", f"{figures['first_image_s']:.2f} s", "from the start of the process"),
        ("images/s, 1 worker", f"{rates['1']:.0f}", f"{figures['num_images']} images, start-up included"),
        ("images/s, 2 workers", f"{rates['2']:.0f}", f"{figures['scaling_2_workers']:.2f} times one worker"),
        ("CPU, 2 workers over 1", f"{figures['cpu_2_workers_over_1']:.2f}", ""),
    ]


def _link(paths: Sequence[Path], folder: Path) -> Path:
    folder.mkdir()
    for index, path in enumerate(paths):
        (folder / f"{index:06d}.jpg").symlink_to(path.resolve())
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
