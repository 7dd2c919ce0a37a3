"""CPU time of packing the same images from a folder, a WebDataset and the Hub's Parquet, and of reading shards.

    python -m tests.benchmarks.source_cost FOLDER [--rounds 3] [--copies 2]

Each round runs all of them, one after the other, in processes of their own with one worker, and the medians of the
rounds are compared with the folder's, and with TFRecord's. The sources hold each image `copies` times.
"""

from __future__ import annotations

import argparse
import io
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_READ = """
import sys, time
import packer
loader = packer.Loader(sys.argv[1], "train", batch_size=32, image_px=64, threads=1, where="process")
batches = iter(loader)
for _ in range(loader.steps):
    next(batches)
start = time.process_time()
for _ in range(2 * loader.steps):
    next(batches)
print(time.process_time() - start)
"""


def write_sources(images: list[Path], folder: Path, copies: int) -> dict[str, Path]:
    """Write the images as sources of each kind, and return these by name."""
    named = [(f"{number:06d}", path.read_bytes()) for number, path in enumerate(images * copies)]
    (folder / "loose").mkdir()
    for name, data in named:
        (folder / "loose" / f"{name}.jpg").write_bytes(data)
    with tarfile.open(folder / "set.tar", "w") as archive:
        for number, (name, data) in enumerate(named):
            for suffix, content in (("jpg", data), ("cls", str(number % 10).encode())):
                member = tarfile.TarInfo(f"{name}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    (folder / "hub").mkdir()
    rows = [{"bytes": data, "path": f"{name}.jpg"} for name, data in named]
    table = pa.table({"image": pa.array(rows), "label": [number % 10 for number in range(len(rows))]})
    pq.write_table(table, folder / "hub/train-00000.parquet", row_group_size=100)
    return {"folder": folder / "loose", "webdataset": folder / "set.tar", "hub": folder / "hub"}


def cpu_of(command: list[str]) -> tuple[float, str]:
    """Run a command; return the CPU seconds of it and its children, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=2)
    given = parser.parse_args()
    images = sorted(path for path in given.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = write_sources(images, folder, given.copies)
        pack = [sys.executable, "-m", "packer", "pack"]
        packing: dict[str, list[float]] = {kind: [] for kind in sources}
        reading: dict[str, list[float]] = {"tfrecord": [], "webdataset": []}
        options = ["--gpus", "1", "--workers", "1", "--overwrite"]
        for container in reading:
            cpu_of([*pack, str(sources["folder"]), str(folder / container), *options, "--format", container])
        for _ in range(given.rounds):
            for kind, source in sources.items():
                packing[kind].append(cpu_of([*pack, str(source), str(folder / "out"), *options])[0])
            for container in reading:
                shown = cpu_of([sys.executable, "-c", _READ, str(folder / container)])[1]
                reading[container].append(float(shown))
        num_images = len(images) * given.copies
        for found, base, count in ((packing, "folder", num_images), (reading, "tfrecord", 2 * num_images)):
            basis = statistics.median(found[base])
            for kind, seconds in found.items():
                median = statistics.median(seconds)
                print(f"{kind}: {1e3 * median / count:.2f} ms an image, {median / basis:.2f} times that of {base}")


if __name__ == "__main__":
    main()
