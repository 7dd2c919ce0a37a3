"""A store that is no folder of this machine to its readers, and writes down what is asked of it.

As a program, it reads all shards of a data set through a cache:  counting_store.py DATASET CACHE MAX_BYTES LOG
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from packer.loading.cache_folder import CacheFolder
from packer.loading.shard_access import ReadBuffer
from packer.loading.shard_cache import CachedShards
from packer.reading.dataset import open_dataset
from packer.stores.local_store import LocalStore


class CountingStore:
    """Reads of ranges are appended to `log`, a line each, in one write."""

    read_ahead = 4
    is_near = False

    def __init__(self, root, log):
        self._store, self._log = LocalStore(root), Path(log)
        self.uri = f"far://{root}"

    def get_range(self, key, start, stop, etag=""):
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{key} {start} {stop}\n".encode())
        os.close(descriptor)
        return self._store.get_range(key, start, stop)


def far_files(dataset, log):
    """Return the shards of a data set on disk as those of another place."""
    store = CountingStore(dataset, log)
    opened = open_dataset(str(dataset))
    shards = opened.manifest.split("train").shards
    return [replace(opened.shard_file(shard), store=store) for shard in shards]


def read_log(log):
    """Return the requests so far as (key, start, stop)."""
    lines = Path(log).read_text().splitlines() if Path(log).exists() else []
    return [(key, int(start), int(stop)) for key, start, stop in map(str.split, lines)]


def main(dataset, cache, max_bytes, log):
    files = far_files(dataset, log)
    access = CachedShards(files, CacheFolder(Path(cache), int(max_bytes)))
    buffer, numbers = ReadBuffer(), list(range(len(files)))
    for shard in numbers:
        access.expect(numbers[shard:])
        whole = Path(dataset, files[shard].key).read_bytes()
        assert access.read(shard, 0, len(whole), buffer) == whole
    access.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
