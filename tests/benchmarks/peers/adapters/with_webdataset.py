"""webdataset: ShardWriter. Two workers are two processes with shards of their own."""

from __future__ import annotations

import glob
import multiprocessing
import os
from collections.abc import Iterator, Sequence

import webdataset
from interface import SHARD_BYTES, PackJob, run
from pillow_resize import shrink


def _pack_part(part: tuple[str, list[str], int]) -> None:
    pattern, images, images_per_shard = part
    with webdataset.ShardWriter(pattern, maxcount=images_per_shard, verbose=0) as sink:
        for path in images:
            sink.write({"__key__": os.path.splitext(os.path.basename(path))[0], "jpg": shrink(path)})


def pack(job: PackJob) -> None:
    os.makedirs(job.dest, exist_ok=True)
    parts = [
        (os.path.join(job.dest, f"{worker}-%06d.tar"), job.images[worker :: job.workers], job.images_per_shard)
        for worker in range(job.workers)
    ]
    if job.workers == 1:
        _pack_part(parts[0])
        return
    with multiprocessing.Pool(job.workers) as pool:
        pool.map(_pack_part, parts, chunksize=1)


def write(dest: str, payloads: Sequence[bytes]) -> None:
    os.makedirs(dest, exist_ok=True)
    with webdataset.ShardWriter(os.path.join(dest, "%06d.tar"), maxsize=SHARD_BYTES, verbose=0) as sink:
        for index, payload in enumerate(payloads):
            sink.write({"__key__": f"{index:08d}", "jpg": payload})


def read(dest: str) -> Iterator[int]:
    names = sorted(glob.glob(os.path.join(dest, "*.tar")))
    for sample in webdataset.WebDataset(names, shardshuffle=False):
        yield len(sample["jpg"])


if __name__ == "__main__":
    run(pack=pack, write=write, read={"": read})
