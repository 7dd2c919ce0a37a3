"""The most memory that one worker takes while it packs large photographs.

    python -m tests.benchmarks.worker_memory [--megapixels N] [--json FILE]

Images are made up, of noise that is smooth enough to be a photograph's size. The worker's largest resident size is
read from the system when it has ended; beside the libraries it holds files read ahead, one image and one shard.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.measure import create_parser, report, run_process

_LIMIT_BYTES = 250_000_000
_SHARD_BYTES = 1_000_000


def main() -> None:
    parser = create_parser("memory of a worker")
    parser.add_argument("--megapixels", type=int, default=25, metavar="N")
    parser.add_argument("--images", type=int, default=12, metavar="N", help="images of each kind")
    given = parser.parse_args()
    figures: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, mode in (("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA")):
            source = Path(folder) / f"{kind}-{mode}"
            file_bytes = _make_images(given, source, kind, mode)
            peak_bytes = _peak_of_worker(source, Path(folder) / f"packed-{kind}-{mode}")
            figures[f"{kind} {mode}"] = {"peak_bytes": peak_bytes, "file_bytes": file_bytes}
    limit = _LIMIT_BYTES + 2 * _SHARD_BYTES
    rows = [
        (
            f"{name}, {given.megapixels} megapixels",
            f"{found['peak_bytes'] / 1e6:.0f} MB",
            f"limit {limit / 1e6:.0f} MB; files of {found['file_bytes'] / 1e6:.1f} MB",
        )
        for name, found in figures.items()
    ]
    report("worker_memory", rows, {"limit_bytes": limit, "workers": figures}, given.json)


def _make_images(given: argparse.Namespace, folder: Path, kind: str, mode: str) -> int:
    """Write images of one kind, all the same; return the size of a file."""
    folder.mkdir()
    height = math.isqrt(given.megapixels * 10**6 * 3 // 4)
    width = given.megapixels * 10**6 // height
    small = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, len(mode)), dtype=np.uint8)
    image = Image.frombytes(mode, (width // 8, height // 8), small.tobytes()).resize((width, height))
    options = {"compress_level": 1} if kind == "PNG" else {"quality": 90}
    first = folder / f"0000.{kind.lower()}"
    image.save(first, kind, **options)
    for index in range(1, given.images):
        first.with_stem(f"{index:04d}").hardlink_to(first)
    return first.stat().st_size


def _peak_of_worker(source: Path, dest: Path) -> int:
    """Pack with one worker in a process of its own; return the largest resident size of the worker."""
    code = (
        "import resource, sys; from packer.cli.main import run; code = run(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    options: Sequence[str] = ("--flat", "--workers", "1", "--gpus", "1", "--shard-size", "1MB", "--json")
    cost = run_process([sys.executable, "-c", code, "pack", str(source), str(dest), *options])
    return int(cost.stdout.splitlines()[-1]) * 1024


if __name__ == "__main__":
    main()
