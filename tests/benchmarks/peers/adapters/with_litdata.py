"""litdata: optimize(), and for records alone the writer that it uses underneath."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import litdata
from interface import SHARD_BYTES, PackJob, run
from litdata.streaming.writer import BinaryWriter
from pillow_resize import shrink


def _sample(path: str) -> dict[str, object]:
    return {"name": os.path.basename(path), "image": shrink(path)}


def pack(job: PackJob) -> None:
    litdata.optimize(
        fn=_sample,
        inputs=job.images,
        output_dir=job.dest,
        num_workers=job.workers,
        chunk_size=job.images_per_shard,
        mode="overwrite",
    )


def extract(dest: str) -> Iterator[tuple[str, bytes]]:
    for sample in litdata.StreamingDataset(dest, shuffle=False):
        yield sample["name"], sample["image"]


def write(dest: str, payloads: Sequence[bytes]) -> None:
    writer = BinaryWriter(dest, chunk_bytes=SHARD_BYTES)
    for index, payload in enumerate(payloads):
        writer[index] = {"data": payload}
    writer.done()
    writer.merge()


def read(dest: str) -> Iterator[int]:
    for sample in litdata.StreamingDataset(dest, shuffle=False):
        yield len(sample["data"])


if __name__ == "__main__":
    run(pack=pack, extract=extract, write=write, read={"": read})
