"""How near shards come to the size that was asked for: packed by the command, sizes taken from the manifest.

    python -m tests.benchmarks.shard_sizes [PHOTOGRAPHS] [--targets MB ...] [--copies N] [--keep] [--heavy-tail N]

What is to hold: the largest shard is within 128 MB, the mean within 15 % of the target. For the second the photographs
have to give some shards of each target; `--copies` links each that many times under other names. `--heavy-tail` makes
every Nth image a hundred times as large, by zeros behind its end: then only the first can be asked for.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from packer.dataset.load import load_manifest
from packer.specs import MAX_SHARD_BYTES
from packer.stores.local_store import LocalStore
from tests.benchmarks.measure import add_photographs, create_parser, list_photographs, report

_MB = 1_000_000
_TAIL_FACTOR = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSizes:
    target_bytes: int
    mean_bytes: float
    largest_bytes: int
    num_shards: int

    @property
    def offset(self) -> float:
        """The mean's distance from the target, as a share of the target."""
        return self.mean_bytes / self.target_bytes - 1

    @property
    def fits(self) -> bool:
        return self.largest_bytes <= MAX_SHARD_BYTES and abs(self.offset) <= 0.15


def measure_shard_sizes(images: Path, dest: Path, *, target_mb: int, options: Sequence[str] = ()) -> ShardSizes:
    """Pack a folder for one GPU."""
    places = [str(images), str(dest)]
    given = ["--gpus", "1", "--shard-size", f"{target_mb}MB", "--flat", "--allow-fill", "--overwrite", *options]
    subprocess.run([sys.executable, "-m", "packer", "pack", *places, *given], check=True, stdout=subprocess.DEVNULL)
    manifest = load_manifest(LocalStore(dest))
    assert manifest is not None
    sizes = [shard.num_bytes for shard in manifest.split("train").shards]
    return ShardSizes(
        target_bytes=target_mb * _MB,
        mean_bytes=sum(sizes) / len(sizes),
        largest_bytes=max(sizes),
        num_shards=len(sizes),
    )


def main() -> None:
    parser = create_parser("sizes of shards")
    add_photographs(parser)
    parser.add_argument("--targets", type=int, nargs="+", default=[1, 4], metavar="MB")
    parser.add_argument("--copies", type=int, default=1, metavar="N", help="times that each photograph is packed")
    parser.add_argument("--keep", action="store_true", help="pack with --encode keep")
    parser.add_argument("--heavy-tail", type=int, metavar="N", help="make every Nth image a hundred times as large")
    given = parser.parse_args()
    options = ["--encode", "keep"] if given.keep else []
    with tempfile.TemporaryDirectory() as folder:
        images, dest = Path(folder, "images"), Path(folder, "packed")
        _collect(list_photographs(given.photographs), images, copies=given.copies, heavy_tail=given.heavy_tail)
        found = [measure_shard_sizes(images, dest, target_mb=target, options=options) for target in given.targets]
    rows = [_row(sizes) for sizes in found]
    report("shard_sizes", rows, {"shard_sizes": [asdict(sizes) for sizes in found]}, given.json)


def _collect(photographs: Sequence[Path], images: Path, *, copies: int, heavy_tail: int | None) -> None:
    images.mkdir()
    for index, path in enumerate(path for _ in range(copies) for path in photographs):
        target = images / f"{index:06d}{path.suffix}"
        if heavy_tail and index % heavy_tail == 0:
            target.write_bytes(path.read_bytes())
            os.truncate(target, _TAIL_FACTOR * path.stat().st_size)
        else:
            target.symlink_to(path.resolve())


def _row(sizes: ShardSizes) -> tuple[str, str, str]:
    return (
        f"target {sizes.target_bytes / _MB:.0f} MB",
        f"mean {100 * sizes.offset:+.1f} %, largest {sizes.largest_bytes / _MB:.2f} MB",
        f"{sizes.num_shards} shards" + ("" if sizes.fits else "   not within 128 MB and 15 %"),
    )


if __name__ == "__main__":
    main()
