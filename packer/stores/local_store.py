"""A folder as a store.

A write goes to a temporary name of its own under ``.shardpack-tmp`` and is renamed (or, if the key must be absent,
linked) into place, so a killed process leaves nothing under any key.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

from packer.stores.store import Buffers, ObjectInfo, ObjectNotFoundError

TEMPORARY_FOLDER = ".shardpack-tmp"
_MAX_ATTEMPTS = 100
"""At a folder that others remove; a link to nowhere in its place must not be tried for ever."""
_MAX_BUFFERS_PER_WRITE = 512
"""Linux takes at most 1,024 buffers in one writev."""
_BYTES_PER_WRITE = 1 << 17
"""Writes end at multiples of it, so that a file system which caches files in large pieces of memory can take one for
each: such files are read at three quarters of the CPU time. A larger writev cost up to five times the CPU on ext4,
where it touched memory that the machine had not used yet."""


class LocalStore:
    """Objects are files below a folder. Symbolic links are followed, hidden names are objects as any other."""

    def __init__(self, root: str | Path) -> None:
        self._root = os.path.abspath(root)

    @property
    def uri(self) -> str:
        return self._root

    @property
    def read_ahead(self) -> int:
        return 4

    @property
    def is_near(self) -> bool:
        return True

    def get(self, key: str, etag: str = "") -> bytes:  # files have no tags
        descriptor, num_bytes = self._open(key)
        try:
            return _read_all(descriptor, num_bytes)
        finally:
            os.close(descriptor)

    def get_range(self, key: str, start: int, stop: int, etag: str = "") -> bytes:
        descriptor, _ = self._open(key)
        try:
            parts, at = [], start
            while at < stop and (part := os.pread(descriptor, stop - at, at)):
                parts.append(part)
                at += len(part)
            return b"".join(parts)
        finally:
            os.close(descriptor)

    def view(self, key: str) -> memoryview:
        descriptor, num_bytes = self._open(key)
        try:
            return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) if num_bytes else b"")
        finally:
            os.close(descriptor)

    def open(self, key: str) -> BinaryIO:
        # Read in turn, this costs less CPU than `view`, whose faults are dearer than a copy.
        descriptor, _ = self._open(key)
        return os.fdopen(descriptor, "rb")

    def put(self, key: str, buffers: Buffers) -> None:
        temporary = self._write_temporary(buffers)
        try:
            self._place(key, lambda path: os.replace(temporary, path))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def put_if_absent(self, key: str, buffers: Buffers) -> bool:
        temporary = self._write_temporary(buffers)
        try:
            self._place(key, lambda path: os.link(temporary, path))
        except FileExistsError:
            return False
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            self._prune(os.path.dirname(temporary))  # where a claim is refused, nothing is left
        return True

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        pending = [os.path.join(self._root, folder) if folder else self._root]
        while pending:
            try:
                entries = os.scandir(pending.pop())
            except (FileNotFoundError, NotADirectoryError):
                continue
            with entries:
                for entry in entries:
                    key = os.path.relpath(entry.path, self._root)
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != TEMPORARY_FOLDER:
                            pending.append(entry.path)
                    elif key.startswith(prefix):
                        yield ObjectInfo(key, entry.stat().st_size)

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(key))
        self._prune(os.path.dirname(self._path(key)))

    def delete_all(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    def sweep(self) -> None:
        shutil.rmtree(os.path.join(self._root, TEMPORARY_FOLDER), ignore_errors=True)

    def _path(self, key: str) -> str:
        return os.path.join(self._root, key)

    def _open(self, key: str) -> tuple[int, int]:
        """Return a file's descriptor, and the size in bytes that the system tells of it."""
        path = self._path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):  # reading would fail without telling what
            os.close(descriptor)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return descriptor, status.st_size

    def _write_temporary(self, buffers: Buffers) -> str:
        path, descriptor = self._create_temporary()
        try:
            _write_all(descriptor, buffers)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        finally:
            os.close(descriptor)
        return path

    def _create_temporary(self) -> tuple[str, int]:
        folder = os.path.join(self._root, TEMPORARY_FOLDER)
        path = os.path.join(folder, uuid.uuid4().hex)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        for _ in range(_MAX_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return path, os.open(path, flags, 0o666)
            # Nobody made the folder yet, or another run has just swept it away, and may do so at any moment.
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.makedirs(folder, exist_ok=True)
        return path, os.open(path, flags, 0o666)

    def _place(self, key: str, place: Callable[[str], None]) -> None:
        """Call `place` with the key's path, making its folder first where it is missing."""
        path = self._path(key)
        try:
            place(path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            place(path)

    def _prune(self, folder: str) -> None:
        """Remove folders that became empty, up to the root."""
        while folder.startswith(self._root + os.sep):
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)


def _read_all(descriptor: int, num_bytes: int) -> bytes:
    """Read a file of about `num_bytes` whole; by one call, which asks for more to see the end, if it is just that."""
    first = os.read(descriptor, num_bytes + 1)
    if len(first) == num_bytes and first:
        return first
    parts = [first]
    while parts[-1]:
        parts.append(os.read(descriptor, 1 << 20))
    return b"".join(parts)


def _write_all(descriptor: int, buffers: Buffers) -> None:
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
