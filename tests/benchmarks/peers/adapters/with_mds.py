"""mosaicml-streaming: MDSWriter. Its ``jpeg`` column encodes at quality 75, so the column holds bytes.

Two workers are two writers in folders of their own, whose indexes `merge_index` joins, as its documentation has it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence

from interface import SHARD_BYTES, PackJob, run
from pillow_resize import shrink
from streaming import MDSWriter, StreamingDataset
from streaming.base.util import merge_index

_COLUMNS = {"name": "str", "image": "bytes"}
_PACKED_IMAGE_BYTES = 44_000
"""About what an image takes at this size and quality; MDSWriter cuts shards by bytes alone."""


def _pack_part(part: tuple[str, list[str], int]) -> None:
    dest, images, shard_bytes = part
    with MDSWriter(out=dest, columns=_COLUMNS, size_limit=shard_bytes) as writer:
        for path in images:
            writer.write({"name": os.path.basename(path), "image": shrink(path)})


def pack(job: PackJob) -> None:
    shard_bytes = job.images_per_shard * _PACKED_IMAGE_BYTES
    if job.workers == 1:
        _pack_part((job.dest, job.images, shard_bytes))
        return
    parts = [
        (os.path.join(job.dest, str(worker)), job.images[worker :: job.workers], shard_bytes)
        for worker in range(job.workers)
    ]
    with multiprocessing.Pool(job.workers) as pool:
        pool.map(_pack_part, parts, chunksize=1)
    merge_index(job.dest, keep_local=True)


def extract(dest: str) -> Iterator[tuple[str, bytes]]:
    dataset = StreamingDataset(local=dest, shuffle=False, batch_size=1)
    for index in range(len(dataset)):
        sample = dataset[index]
        yield sample["name"], sample["image"]


def write(dest: str, payloads: Sequence[bytes]) -> None:
    with MDSWriter(out=dest, columns={"data": "bytes"}, size_limit=SHARD_BYTES) as writer:
        for payload in payloads:
            writer.write({"data": payload})


def iterated(dest: str) -> Iterator[int]:
    for sample in StreamingDataset(local=dest, shuffle=False, batch_size=1):
        yield len(sample["data"])


def by_index(dest: str) -> Iterator[int]:
    dataset = StreamingDataset(local=dest, shuffle=False, batch_size=1)
    for index in range(len(dataset)):
        yield len(dataset[index]["data"])


if __name__ == "__main__":
    run(pack=pack, extract=extract, write=write, read={"iterated": iterated, "by index": by_index})
