"""Files and folders that outlast a power cut: written whole, and on the disk before anyone counts on them.

A file system keeps what it is given in memory for up to half a minute, names and contents apart: without `fsync` a cut
can leave the name of a file whose content is zeros or nothing, long after the program has ended.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from packer.stores.store import Buffers

_MAX_BUFFERS_PER_WRITE = 512
"""Linux takes at most 1,024 buffers in one writev."""
_BYTES_PER_WRITE = 1 << 17
"""Writes end at multiples of it, so that a file system which caches files in large pieces of memory can take one for
each: such files are read at three quarters of the CPU time. A larger writev cost up to five times the CPU on ext4,
where it touched memory that the machine had not used yet."""
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
"""What a file system answers that has no such call, for folders above all; there is nothing else to be done there."""


class NotDurableError(OSError):
    """What was written may not be on the disk. Asking once more proves nothing, since the system may have dropped the
    very pages that failed: the file has to be written anew."""


def sync(descriptor: int, path: str) -> None:
    """Wait until a file or folder is on the disk. Raises NotDurableError."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise NotDurableError(error.errno, error.strerror, path) from None


def sync_folder(path: str) -> None:
    """Wait until the names in a folder are on the disk. Raises NotDurableError; OSError where it cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor, path)
    finally:
        os.close(descriptor)


def is_device(path: str) -> bool:
    """Tell whether a name belongs to a device or a pipe, such as /dev/null, which no file may replace."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return os.path.abspath(path).startswith("/dev/") or stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def write_into_device(path: str, buffers: Buffers) -> None:
    """Write to what has a name, and leave it there. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_all(descriptor, buffers)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(descriptor)


def make_folders(path: str, make: Callable[[str], None] = os.mkdir) -> None:
    """Make a folder and what is missing above it, each by `make`, names and all. Raises OSError."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            make(folder)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
        sync_folder(os.path.dirname(folder))


def write_all(descriptor: int, buffers: Buffers) -> None:
    """Write buffers one after another to a new file. Raises OSError."""
    pieces = [
        buffer if isinstance(buffer, bytes) else memoryview(buffer).cast("B") for buffer in buffers if len(buffer)
    ]
    num_bytes = sum(map(len, pieces))
    if num_bytes > _BYTES_PER_WRITE:
        _reserve(descriptor, num_bytes)
    for batch in _batches(pieces):
        _write_batch(descriptor, batch)


def _batches(pieces: Iterable[bytes | memoryview]) -> Iterator[list[bytes | memoryview]]:
    """Collect pieces for writes that end at multiples of _BYTES_PER_WRITE, cutting those that pass one."""
    batch: list[bytes | memoryview] = []
    missing = _BYTES_PER_WRITE
    for piece in pieces:
        while len(piece) >= missing:
            yield [*batch, memoryview(piece)[:missing]]
            batch, piece, missing = [], memoryview(piece)[missing:], _BYTES_PER_WRITE
        if piece:
            batch.append(piece)
            missing -= len(piece)
        if len(batch) == _MAX_BUFFERS_PER_WRITE:
            yield batch
            batch = []
    if batch:
        yield batch


def _reserve(descriptor: int, num_bytes: int) -> None:
    """Ask the file system for a new file's blocks at once, which spares ext4 a search for each page that is written.

    Not by `os.posix_fallocate`: it writes to every block where a file system has no such call. What fails here fails
    with a better message, or not at all, when the bytes are written.
    """
    if fallocate := _fallocate():
        fallocate(descriptor, 0, 0, num_bytes)


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """Return Linux's fallocate(descriptor, mode, offset, length), or None on other systems."""
    function = getattr(ctypes.CDLL(None), "fallocate64", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function


def _write_batch(descriptor: int, batch: Sequence[bytes | memoryview]) -> None:
    missing = sum(map(len, batch))
    while missing > (written := os.writev(descriptor, batch)):  # a disk that is almost full, or a signal
        batch, missing = _drop(batch, written), missing - written


def _drop(buffers: Sequence[bytes | memoryview], num_bytes: int) -> Sequence[bytes | memoryview]:
    """Return what is left of the buffers after their first `num_bytes` bytes."""
    for index, buffer in enumerate(buffers):
        if num_bytes < len(buffer):
            return [memoryview(buffer)[num_bytes:], *buffers[index + 1 :]]
        num_bytes -= len(buffer)
    return []
