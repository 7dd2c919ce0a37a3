"""MXNet: MXRecordIO, whose container has no checksums."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from interface import run
from mxnet import recordio


def write(dest: str, payloads: Sequence[bytes]) -> None:
    os.makedirs(dest, exist_ok=True)
    writer = recordio.MXRecordIO(os.path.join(dest, "data.rec"), "w")
    for payload in payloads:
        writer.write(payload)
    writer.close()


def read(dest: str) -> Iterator[int]:
    reader = recordio.MXRecordIO(os.path.join(dest, "data.rec"), "r")
    while record := reader.read():
        yield len(record)
    reader.close()


if __name__ == "__main__":
    run(write=write, read={"": read})
