"""The command line that the adapters share. An adapter runs in its peer's environment and imports that peer.

    pack IMAGES DEST WORKERS SHARDS     photographs, shrunk, to shards
    extract DEST FOLDER                 packed photographs back to files of their old names
    write DEST COUNT SIZE               COUNT records of SIZE bytes, anew for each line of standard input
    read DEST WAY                       the same records, once for each line of standard input

Writing and reading answer every line with the CPU seconds that the pass took: user and system time of all threads of
the process, imports left out, from before the writer or reader is made until it is closed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SHARD_BYTES = 128_000_000
"""Size of a file of records where a writer wants one."""
_DISTINCT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PackJob:
    images: list[str]
    dest: str
    workers: int
    shards: int

    @property
    def images_per_shard(self) -> int:
        return -(-len(self.images) // self.shards)


Pack = Callable[[PackJob], None]
Extract = Callable[[str], Iterable[tuple[str, bytes]]]
"""Takes the folder of shards, yields file names and contents."""
Write = Callable[[str, Sequence[bytes]], None]
Read = Callable[[str], Iterable[int]]
"""Yields the size of every record that was read."""


def run(
    *,
    pack: Pack | None = None,
    extract: Extract | None = None,
    write: Write | None = None,
    read: Mapping[str, Read] | None = None,
) -> None:
    """Do what the command line says."""
    what, *given = sys.argv[1:]
    if what == "pack" and pack:
        images = sorted(str(path) for path in Path(given[0]).iterdir())
        pack(PackJob(images=images, dest=given[1], workers=int(given[2]), shards=int(given[3])))
    elif what == "extract" and extract:
        for name, data in extract(given[0]):
            (Path(given[1]) / name).write_bytes(data)
    elif what == "write" and write:
        payloads = make_payloads(int(given[1]), int(given[2]))
        _answer_lines(lambda: write(given[0], payloads), prepare=lambda: shutil.rmtree(given[0], ignore_errors=True))
    elif what == "read" and read:
        call = read[given[1]]
        _answer_lines(lambda: _drain(call(given[0])))
    else:
        sys.exit(f"{what}: expected something that this peer does")


def make_payloads(count: int, size: int) -> list[bytes]:
    """Return seeded bytes that do not compress; some are the same object, as no writer cares."""
    source = random.Random(0)
    distinct = [source.randbytes(size) for _ in range(_DISTINCT)]
    return [distinct[index % _DISTINCT] for index in range(count)]


def _drain(sizes: Iterable[int]) -> dict[str, int]:
    num_records = num_bytes = 0
    for size in sizes:
        num_records += 1
        num_bytes += size
    return {"num_records": num_records, "num_bytes": num_bytes}


def _answer_lines(call: Callable[[], dict[str, int] | None], *, prepare: Callable[[], None] = lambda: None) -> None:
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        for _ in sys.stdin:
            prepare()
            started = time.process_time()
            found = call() or {}
            print(json.dumps({"cpu_s": time.process_time() - started, **found}), file=answers, flush=True)
