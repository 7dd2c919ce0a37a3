"""Shards that are read from start to end and held in memory while their records are needed, for FastFile mode.

FastFile fetches a file from the bucket while it is read, ahead of a sequential reader. A reader that jumps waits for a
request each time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future

from packer.loading.shard_access import ReadBuffer, cut_short_error, unreadable_error
from packer.reading.shard_file import ShardFile, open_shard


class WholeShards:
    """A ShardAccess that holds the few shards that were read last."""

    def __init__(self, files: Sequence[ShardFile], *, max_shards: int) -> None:
        self._files, self._max_shards = files, max(1, max_shards)
        self._lock = threading.Lock()
        self._held: OrderedDict[int, Future[bytes]] = OrderedDict()

    def read(self, shard: int, start: int, stop: int, buffer: ReadBuffer) -> memoryview:
        """Raises as `ShardAccess.read`."""
        return self.whole(shard)[start:stop]

    def whole(self, shard: int) -> memoryview:
        """Return a shard's bytes, and read them if they are not held. One thread reads, others wait for it.

        Raises DataSetError if the shard is missing, has another size, or cannot be read.
        """
        with self._lock:
            held = self._held.get(shard)
            is_first = held is None
            held = self._held[shard] = held or Future()
            self._held.move_to_end(shard)
            while len(self._held) > self._max_shards:
                self._held.popitem(last=False)
        if is_first:
            try:
                held.set_result(_read_whole(self._files[shard]))
            except BaseException as error:
                held.set_exception(error)
        return memoryview(held.result())

    def expect(self, shards: Sequence[int]) -> None:
        """Do nothing: nothing is read ahead."""

    def close(self) -> None:
        with self._lock:
            self._held.clear()


def _read_whole(file: ShardFile) -> bytes:
    with open_shard(file) as stream:
        try:
            data = stream.read()
        except OSError as error:
            raise unreadable_error(file, error) from error
    if len(data) != file.entry.num_bytes:
        raise cut_short_error(file, 0, file.entry.num_bytes, found=len(data))
    return data
