"""Small sources and what was packed of them, for the tests that run the whole way of the data."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from packer.dataset.manifest import Manifest, decode_manifest
from packer.formats.registry import get_format
from packer.options import PackOptions, parse_options
from packer.pipeline import PackResult, pack
from packer.progress import SilentProgress
from packer.run import Run
from packer.specs import FormatName
from packer.stores.open_store import open_store

ROOT = Path(__file__).parents[2]
FORMATS = tuple(FormatName)
STREAMED = tuple(name for name in FORMATS if get_format(name).is_streamed)
"""The containers that loaders and Pipes read."""
DIFFERS_BY_RUN = frozenset({"meta/run.json"})
"""Times and hosts: the one file that may differ between runs."""


def image_bytes(seed: int, *, width: int = 40, height: int = 30, kind: str = "JPEG") -> bytes:
    """Return an image file of smooth noise, the same for the same arguments."""
    noise = Image.frombytes("RGB", (8, 6), random.Random(seed).randbytes(8 * 6 * 3))
    buffer = io.BytesIO()
    noise.resize((width, height), Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def write_images(folder: Path, count: int, *, num_classes: int = 3) -> Path:
    """Write small images as FOLDER/c<class>/<number>.<suffix>, dealt to the classes; every fourth is a PNG."""
    for index in range(count):
        kind, suffix = ("PNG", "png") if index % 4 == 3 else ("JPEG", "jpg")
        path = folder / f"c{index % num_classes}" / f"{index:04d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(index, width=32 + index % 9, height=32 + index % 5, kind=kind))
    return folder


def write_unmeasured_rejects(folder: Path, *, num_rejects: int) -> list[str]:
    """Write 60 images of which the last ones in hash order, which are not measured before the plan, are none.

    Return the keys of those.
    """
    write_images(folder, 60)
    keys = [str(path.relative_to(folder)) for path in folder.glob("*/*")]
    rejected = sorted(keys, key=lambda key: hashlib.sha256(f"0\0{key}".encode()).digest())[-num_rejects:]
    for key in rejected:
        (folder / key).write_bytes(b"not an image")
    return rejected


def write_listing(path: Path, folder: Path, *, order: Callable[[list[str]], list[str]] = list) -> Path:
    """Write a CSV listing of the images of a class-per-folder set, with the same labels, its rows in some order."""
    images = sorted(str(image.relative_to(folder)) for image in folder.glob("*/*"))
    classes = sorted({image.split("/")[0] for image in images})
    rows = [f"{image},{classes.index(image.split('/')[0])}" for image in images]
    path.write_text("\n".join(["path,label", *order(rows)]) + "\n")
    return path


def make_options(source: object, dest: object, **options: Any) -> PackOptions:
    """Return options for small images: 4 GPUs, 24-pixel samples, where nothing else is said."""
    return parse_options({"source": str(source), "dest": str(dest), "gpus": 4, "resize": "24", **options})


class SerialEngine:
    """Runs tasks one after another in this process."""

    def __init__(self, order: Callable[[Sequence[int]], Sequence[int]] = list) -> None:
        self._order = order

    def run(self, function: Any, context: Any, tasks: Sequence[int], tick: Any) -> Iterator[Any]:
        for task in self._order(tasks):
            yield function(context, task, tick)

    def close(self) -> None:
        return


def serial_run(options: PackOptions) -> Run[PackOptions]:
    """Return a run in this process that says nothing."""
    return Run(
        options=options,
        engine=SerialEngine(),
        progress=SilentProgress(),
        source=options.source,
        dest=open_store(options.dest, options.dest_store()),
    )


def pack_small(source: object, dest: object, **options: Any) -> PackResult:
    """Pack in this process."""
    return pack(make_options(source, dest, **options), engine=SerialEngine())


def digests(dest: Path) -> dict[str, str]:
    """Return the sha256 of every file below a data set, by its path, but of those that may differ by run.

    An empty folder counts too, with an empty digest.
    """
    paths = {key: dest / key for key in list_keys(dest) if key not in DIFFERS_BY_RUN}
    return {key: "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest() for key, path in paths.items()}


def list_keys(dest: Path) -> list[str]:
    """Return the path of everything below a folder that is no folder, hidden ones too, and of empty folders."""
    found = []
    for folder, folders, files in os.walk(dest):
        names = files if files or folders else [""]
        found += [os.path.relpath(os.path.join(folder, name), dest) for name in names]
    return sorted(found)


def read_manifest(dest: Path) -> Manifest:
    return decode_manifest((dest / "manifest.json").read_bytes(), name="manifest.json")


def read_records(dest: Path, key: str) -> list[dict[str, Any]]:
    """Return the rows of the table of records of the shard `key`."""
    split, name = key.split("/")
    rows: list[dict[str, Any]] = pq.read_table(
        dest / "meta/records" / split / f"{name.rpartition('.')[0]}.parquet"
    ).to_pylist()
    return rows


def command(*arguments: object) -> list[str]:
    """Return the command line that runs shardpack as a process."""
    return [sys.executable, "-m", "packer", *map(str, arguments)]


def run_command(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run shardpack as a process to its end."""
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, **settings
    )
