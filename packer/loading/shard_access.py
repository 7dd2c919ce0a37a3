"""The interface between the loader and the bytes of shards: any thread reads a range of one shard.

local files              read in place
buckets, other stores    read by ranges, or through a cache of whole shards
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Protocol

from packer.errors import DataSetError
from packer.reading.shard_file import NOT_AS_PACKED, ShardFile, missing_shard_error, wrong_size_error
from packer.stores.store import ObjectNotFoundError

_MAX_OPEN_FILES = 128


class ReadBuffer:
    """Memory of one thread, reused for one read after another."""

    def __init__(self) -> None:
        self._memory = bytearray()

    def take(self, num_bytes: int) -> memoryview:
        """Return a writable view of `num_bytes` bytes, which are not cleared."""
        if len(self._memory) < num_bytes:
            self._memory = bytearray(num_bytes * 5 // 4)  # a quarter more, since pictures differ in size
        return memoryview(self._memory)[:num_bytes]


class ShardAccess(Protocol):
    """Access to the bytes of some shards, numbered from 0 in the order of the `ShardFile`s that it was made from."""

    def read(self, shard: int, start: int, stop: int, buffer: ReadBuffer) -> memoryview:
        """Return the bytes [start, stop) of a shard: a view of `buffer` or of other memory.

        The next use of `buffer` may overwrite the view. Many threads may call at a time, each with its own buffer.

        Raises:
            DataSetError: the shard is missing, has another size or content, or cannot be read; the text names it.
        """

    def expect(self, shards: Sequence[int]) -> None:
        """Announce the shards that will be read next, soonest first, including those that are being read now.

        One thread calls it each time the list changes. It is a hint: shards in the list may be fetched ahead, all
        others may be dropped, and `read` works for any shard.
        """

    def close(self) -> None:
        """Release files, threads and memory. `read` must not be called any more."""


class LocalShards:
    """A ShardAccess to local files, read by position. It keeps only a limited number of files open."""

    def __init__(self, files: Sequence[ShardFile], *, max_open_files: int = _MAX_OPEN_FILES) -> None:
        self._files, self._max_open_files = files, max_open_files
        self._lock = threading.Lock()
        self._open: OrderedDict[int, _OpenFile] = OrderedDict()

    def read(self, shard: int, start: int, stop: int, buffer: ReadBuffer) -> memoryview:
        num_bytes = stop - start
        view = buffer.take(num_bytes)
        file = self._take(shard)
        try:
            num_read = 0
            while num_read < num_bytes and (got := os.preadv(file.descriptor, [view[num_read:]], start + num_read)):
                num_read += got
        except OSError as error:
            raise unreadable_error(self._files[shard], error) from error
        finally:
            self._give_back(file)
        if num_read < num_bytes:
            raise cut_short_error(self._files[shard], start, stop, found=num_read)
        return view

    def expect(self, shards: Sequence[int]) -> None:
        """Do nothing: the system's file cache needs no hints."""

    def close(self) -> None:
        with self._lock:
            for file in self._open.values():
                file.is_evicted = True
                file.close_if_unused()
            self._open.clear()

    def forget(self, shards: Iterable[int]) -> None:
        """Close the files of some shards as soon as no thread reads them."""
        with self._lock:
            for shard in shards:
                file = self._open.pop(shard, None)
                if file is not None:
                    file.is_evicted = True
                    file.close_if_unused()

    def _take(self, shard: int) -> _OpenFile:
        with self._lock:
            file = self._open.get(shard)
            if file is None:
                file = self._open[shard] = _OpenFile(_open_file(self._files[shard]))
            self._open.move_to_end(shard)
            file.num_readers += 1
            while len(self._open) > self._max_open_files:
                _, evicted = self._open.popitem(last=False)
                evicted.is_evicted = True
                evicted.close_if_unused()
            return file

    def _give_back(self, file: _OpenFile) -> None:
        with self._lock:
            file.num_readers -= 1
            if file.is_evicted:
                file.close_if_unused()


class _OpenFile:
    """A descriptor that is closed when it is evicted and no thread reads from it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.num_readers = 0
        self.is_evicted = False

    def close_if_unused(self) -> None:
        if not self.num_readers:
            os.close(self.descriptor)


class RangedShards:
    """A ShardAccess to any store; each read is one request."""

    def __init__(self, files: Sequence[ShardFile]) -> None:
        self._files = files

    def read(self, shard: int, start: int, stop: int, buffer: ReadBuffer) -> memoryview:
        file = self._files[shard]
        try:
            data = file.store.get_range(file.key, start, stop)
        except ObjectNotFoundError:
            raise missing_shard_error(file) from None
        except OSError as error:
            raise unreadable_error(file, error) from error
        if len(data) < stop - start:
            raise cut_short_error(file, start, stop, found=len(data))
        return memoryview(data)

    def expect(self, shards: Sequence[int]) -> None:
        """Do nothing: nothing is cached, so nothing is fetched ahead."""

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def cut_short_error(file: ShardFile, start: int, stop: int, *, found: int) -> DataSetError:
    """Return the error for a shard that has only the first `found` of the bytes [start, stop)."""
    return DataSetError(
        f"{file.name}: expected {stop - start:,} bytes at byte {start:,}, found {found:,}; {NOT_AS_PACKED}"
    )


def _open_file(file: ShardFile) -> int:
    try:
        descriptor = os.open(file.name, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise missing_shard_error(file) from None
    except OSError as error:
        raise unreadable_error(file, error) from error
    num_bytes = os.fstat(descriptor).st_size
    if num_bytes != file.entry.num_bytes:
        os.close(descriptor)
        raise wrong_size_error(file, found=num_bytes)
    return descriptor


def unreadable_error(file: ShardFile, error: OSError) -> DataSetError:
    """Return the error for a shard whose store failed."""
    return DataSetError(f"{file.name}: cannot read the shard: {error}")
