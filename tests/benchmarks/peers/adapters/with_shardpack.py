"""shardpack's own containers: frames put through the local store, and records read from its streams."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from interface import SHARD_BYTES, run

from packer.formats.registry import get_format
from packer.specs import FormatName
from packer.stores.local_store import LocalStore


def write(dest: str, payloads: Sequence[bytes], *, container: FormatName) -> None:
    records = get_format(container)
    store = LocalStore(dest)
    per_shard = SHARD_BYTES // len(payloads[0])
    for start in range(0, len(payloads), per_shard):
        buffers = [buffer for payload in payloads[start : start + per_shard] for buffer in records.frame(payload)]
        store.put(f"{start:08d}{records.suffix}", buffers)


def read(dest: str, *, container: FormatName, check: bool) -> Iterator[int]:
    records = get_format(container)
    store = LocalStore(dest)
    for name in sorted(found.key for found in store.list()):
        with store.open(name) as stream:
            for record in records.iter_stream(stream, name=name, check=check):
                yield len(record.payload)


if __name__ == "__main__":
    reading = functools.partial(read, container=FormatName.TFRECORD)
    run(
        write=functools.partial(write, container=FormatName.TFRECORD),
        read={
            "both checksums": functools.partial(reading, check=True),
            "length's checksum alone": functools.partial(reading, check=False),
        },
    )
