"""The bytes of an archive, wherever it lies, for those who read its headers here and there, mostly forwards.

Of a remote one, headers that lie close together are read in blocks, a few of them ahead; where members are larger than
a block, each header is a small request of its own. So a listing holds a few megabytes and neither waits for each of a
million headers nor reads terabytes of large members.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from packer.errors import SourceChangedError, SourceError, StoreError
from packer.stores.store import ObjectChangedError, ObjectInfo, ObjectNotFoundError, Store

_BLOCK_BYTES = 1 << 20
"""Takes as long to come as the answer to a request does; so it is also the gap from which on one is asked for anew."""
_JUMP_BYTES = 1 << 14
"""Read where nothing near was read before: a header, and those that may go with it."""
_MAX_AHEAD = 4
"""Blocks that wait or are being read; their number grows to this with each block that was needed."""


class ArchiveFile(Protocol):
    """An archive that is open for reading."""

    @property
    def name(self) -> str:
        """Path or URI, for messages."""

    @property
    def num_bytes(self) -> int:
        """Size of the whole archive."""

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Return ``[offset, offset + num_bytes)``, less what lies behind the end. Raises OSError."""


@contextmanager
def open_local(path: str) -> Iterator[ArchiveFile]:
    """Give the archive at a path. Raises SourceError where it cannot be opened or read."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        yield _LocalFile(path, descriptor)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from None
    finally:
        os.close(descriptor)


class _LocalFile:
    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.num_bytes = os.fstat(descriptor).st_size
        self._descriptor = descriptor

    def read(self, offset: int, num_bytes: int) -> bytes:
        return os.pread(self._descriptor, num_bytes, offset)


@contextmanager
def open_remote(store: Store, info: ObjectInfo, threads: ThreadPoolExecutor) -> Iterator[ArchiveFile]:
    """Give the archive that `store` listed as `info`; `threads` do all reading, so it ends when they are shut down.

    Raises:
        SourceChangedError: it is another one now.
        StoreError: the store failed.
    """
    name = f"{store.uri}/{info.key}"
    file = _RemoteFile(store, info, threads)
    try:
        yield file
    except ObjectNotFoundError:
        raise SourceChangedError(f"{name}: was removed while it was listed; start anew") from None
    except ObjectChangedError as error:
        raise SourceChangedError(f"{error}; it changed while it was listed: start anew") from None
    except StoreError:
        raise
    except OSError as error:
        raise SourceError(f"{name}: cannot be read ({error.strerror or error})") from None
    finally:
        file.drop_ahead()


class _RemoteFile:
    def __init__(self, store: Store, info: ObjectInfo, threads: ThreadPoolExecutor) -> None:
        self.name = f"{store.uri}/{info.key}"
        self.num_bytes = info.num_bytes
        self._store = store
        self._info = info
        self._threads = threads
        self._start = 0
        self._block = b""
        self._ahead: deque[Future[bytes]] = deque()
        self._num_ahead = 1

    def read(self, offset: int, num_bytes: int) -> bytes:
        stop = min(offset + num_bytes, self.num_bytes)
        parts: list[bytes] = []
        while offset < stop:
            if not self._start <= offset < self._stop:
                self._load(offset)
            parts.append(self._block[offset - self._start : stop - self._start])
            offset += len(parts[-1])
        return b"".join(parts)

    def drop_ahead(self) -> None:
        """Forget what was read ahead."""
        while self._ahead:
            self._ahead.popleft().cancel()

    @property
    def _stop(self) -> int:
        return self._start + len(self._block)

    def _load(self, offset: int) -> None:
        """Make the current block one that holds the byte at `offset`."""
        if not 0 <= offset - self._stop < _BLOCK_BYTES:
            self.drop_ahead()
            self._num_ahead = 1
            self._start, self._block = offset, self._submit(offset, _JUMP_BYTES).result()
        while offset >= self._stop:
            self._go_on()

    def _go_on(self) -> None:
        """Take the next block, and have those after it read."""
        while len(self._ahead) < self._num_ahead:
            start = self._stop + len(self._ahead) * _BLOCK_BYTES
            self._ahead.append(self._submit(start, _BLOCK_BYTES))
        self._num_ahead = min(2 * self._num_ahead, _MAX_AHEAD)
        self._start, self._block = self._stop, self._ahead.popleft().result()

    def _submit(self, start: int, num_bytes: int) -> Future[bytes]:
        return self._threads.submit(self._fetch, start, min(start + num_bytes, self.num_bytes))

    def _fetch(self, start: int, stop: int) -> bytes:
        """Return ``[start, stop)`` of the object that was listed; nothing where `start` is its end, or beyond."""
        if start >= stop:
            return b""
        content = self._store.get_range(self._info.key, start, stop, self._info.etag)
        if len(content) != stop - start:
            raise ObjectChangedError(f"{self.name}: expected {stop - start:,} bytes at {start:,}, got {len(content):,}")
        return content


class ArchiveStream(io.RawIOBase):
    """An archive as a file of Python's own kind."""

    def __init__(self, file: ArchiveFile) -> None:
        self._file = file
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._file.num_bytes}[whence]
        if start + offset < 0:
            raise ValueError(f"expected an offset in the file, got {start + offset}")
        self._offset = start + offset
        return self._offset

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # the base is not typed finely
        content = self._file.read(self._offset, len(buffer))
        buffer[: len(content)] = content
        self._offset += len(content)
        return len(content)
