"""A folder as a store.

A write goes to a temporary name of its own under ``.shardpack-tmp`` and is renamed (or, if the key must be absent,
linked) into place, so a killed process leaves nothing under any key. The file is on the disk before that and its name
after it, so what a run has written outlasts a power cut.

Under a claim all of this goes through a folder of its own, ``.shardpack-tmp/<claim>``: files are renamed out of it when
they are written, and into it when they are removed. Who takes the place over moves that folder away, so whatever a run
that slept through this does next fails, in one step with its effect.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from packer.errors import ClaimLostError
from packer.stores.local_files import (
    NotDurableError,
    is_device,
    make_folders,
    sync,
    sync_folder,
    write_all,
    write_into_device,
)
from packer.stores.store import NO_CLAIM, Buffers, Claim, ObjectInfo, ObjectNotFoundError, Tagged

TEMPORARY_FOLDER = ".shardpack-tmp"
_AFTER_NAME = "-"
"""Follows a claim's name in that of its folder."""
_MAX_ATTEMPTS = 100
"""At a folder that others remove; a link to nowhere in its place must not be tried for ever."""
_MAX_WRITES = 3
"""Of a file that does not get to the disk."""
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What `os.link` answers on a file system without hard links, such as FAT and some that are mounted from afar."""
_LOCK_PATIENCE_S = 3.0
"""How long the lock of a claim may be seen without the claim, which follows it at once unless its run was killed."""


class LocalStore:
    """Objects are files below a folder. Symbolic links are followed, hidden names are objects as any other."""

    def __init__(self, root: str | Path, claim: Claim = NO_CLAIM) -> None:
        self._root = os.path.abspath(root)
        self._claim = claim

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
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path(key)) from None
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
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path(key)) from None
        finally:
            os.close(descriptor)

    def view(self, key: str) -> memoryview:
        # Never a mapping: behind a bad sector, or where another shortens the file, it would end the process (SIGBUS).
        return memoryview(self.get(key))

    def open(self, key: str) -> BinaryIO:
        descriptor, _ = self._open(key)
        return os.fdopen(descriptor, "rb")

    def put(self, key: str, buffers: Buffers) -> None:
        path = self._path(key)
        if not self._claim.folder and is_device(path):
            write_into_device(path, buffers)
            return

        def place(temporary: str) -> bool:
            os.replace(temporary, path)
            sync_folder(os.path.dirname(path))
            return True

        self._write(path, buffers, place)

    def put_if_absent(self, key: str, buffers: Buffers) -> bool:
        path = self._path(key)

        def place(temporary: str) -> bool:
            if not _link(temporary, path):
                return False
            try:
                sync_folder(os.path.dirname(path))
            except NotDurableError:
                os.unlink(path)
                raise
            return True

        try:
            return self._write(path, buffers, place)
        finally:
            if not self._claim.folder:
                self._prune(self._temporaries)

    def put_if_same(self, key: str, buffers: Buffers, tag: str) -> bool:
        try:
            if self.get_tagged(key).tag != tag:
                return False
        except ObjectNotFoundError:
            return False
        self.put(key, buffers)  # what was written in between is replaced: whoever did so finds out as it looks again
        return True

    def get_tagged(self, key: str) -> Tagged:
        data = self.get(key)
        return Tagged(data, hashlib.sha256(data).hexdigest())

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
        self.delete_all([key])
        folder = os.path.dirname(self._path(key))
        while folder.startswith(self._root) and not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        if folder.startswith(self._root):
            sync_folder(folder)

    def delete_all(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._remove(key)

    def sweep(self) -> None:
        if not self._claim.folder:
            shutil.rmtree(self._temporaries, ignore_errors=True)
            return
        for name in _list_names(self._temporaries):
            _remove_tree(os.path.join(self._temporaries, name))

    @property
    def claim(self) -> Claim:
        return self._claim

    def claimed(self, claim: Claim) -> LocalStore:
        return LocalStore(self._root, claim)

    def open_folder(self, name: str, *, is_new: bool) -> str:
        parent = os.path.join(self._root, TEMPORARY_FOLDER)
        found = sorted(other for other in _list_names(parent) if other.startswith(name + _AFTER_NAME))
        if found and not is_new:
            return found[0]
        folder = f"{name}{_AFTER_NAME}{uuid.uuid4().hex[:12]}"
        for _ in range(_MAX_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):  # others remove what is empty
                make_folders(os.path.join(parent, folder))
                break
        return folder

    def end_claim(self) -> None:
        _remove_tree(self._temporaries)
        self._prune(os.path.dirname(self._temporaries))
        # A run that was stopped as it made a folder, or removed the last file of one, left it empty.
        others = os.path.join(self._root, TEMPORARY_FOLDER)  # where an empty folder is another claim's
        for folder, _, _ in os.walk(self._root, topdown=False):
            if folder != self._root and not folder.startswith(others):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def end_others(self, name: str = "") -> None:
        parent = os.path.dirname(self._temporaries)
        for other in _list_names(parent):
            # Files that lie there by themselves were left by versions that had no folders for claims.
            is_wanted = other.startswith(name) or os.path.isfile(os.path.join(parent, other))
            if other == self._claim.folder or not is_wanted:
                continue
            taken = os.path.join(self._temporaries, uuid.uuid4().hex)
            with contextlib.suppress(FileNotFoundError):
                os.rename(os.path.join(parent, other), taken)
                _remove_tree(taken)
        self.check_claim()

    def check_claim(self) -> None:
        if self._claim.folder and not os.path.isdir(self._temporaries):
            raise ClaimLostError(self._root)

    def _make_folder(self, path: str) -> None:
        """Make one folder; under a claim as files are written, or a run that slept would leave empty ones."""
        if not self._claim.folder:
            os.mkdir(path)
            return
        made = os.path.join(self._temporaries, uuid.uuid4().hex)
        os.mkdir(made)
        try:
            os.rename(made, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.rmdir(made)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # another has made it, and written there
                raise

    def _remove(self, key: str) -> None:
        """Remove a file and the folders that it leaves empty."""
        path = self._path(key)
        try:
            if self._claim.folder:
                taken = os.path.join(self._temporaries, uuid.uuid4().hex)
                os.rename(path, taken)
                path = taken
            os.unlink(path)
        except FileNotFoundError:
            self.check_claim()
        self._prune(os.path.dirname(self._path(key)))

    def _path(self, key: str) -> str:
        return os.path.join(self._root, key)

    def _open(self, key: str) -> tuple[int, int]:
        """Return a file's descriptor, and the size in bytes that the system tells of it."""
        path = self._path(key)
        try:
            # Not to be kept waiting by a named pipe that nobody writes to; of files it changes nothing.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            raise OSError(errno.EINVAL, "expected a file, found a pipe, a device or the like", path)
        return descriptor, status.st_size

    @property
    def _temporaries(self) -> str:
        return os.path.join(self._root, TEMPORARY_FOLDER, self._claim.folder).rstrip("/")

    def _write(self, path: str, buffers: Buffers, place: Callable[[str], bool]) -> bool:
        """Write a temporary file and return what `place` does with it; anew where it does not get to the disk.

        Raises ClaimLostError or OSError.
        """
        num_failures = 0
        for _ in range(_MAX_ATTEMPTS):
            temporary, descriptor = self._create_temporary()
            try:
                try:
                    make_folders(os.path.dirname(path), self._make_folder)
                    write_all(descriptor, buffers)
                    sync(descriptor, path)
                finally:
                    os.close(descriptor)
                return place(temporary)
            except NotDurableError:
                num_failures += 1
                if num_failures == _MAX_WRITES:
                    raise
            except FileNotFoundError as error:  # others of this claim sweep here, and remove folders that became empty
                problem = error  # where this claim is lost, the next temporary file cannot be created
            except OSError as error:  # the file that is written, and not a name that is gone soon, or none
                raise OSError(error.errno, error.strerror, path) from None
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
        raise problem

    def _create_temporary(self) -> tuple[str, int]:
        path = os.path.join(self._temporaries, uuid.uuid4().hex)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        for _ in range(_MAX_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return path, os.open(path, flags, 0o666)
            self.check_claim()
            # Nobody made the folder yet, or another run has just swept it away, and may do so at any moment.
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.makedirs(self._temporaries, exist_ok=True)
        return path, os.open(path, flags, 0o666)

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


def _list_names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove_tree(path: str) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.unlink(path)


def _link(temporary: str, path: str) -> bool:
    """Give a file its name unless another has it; return whether it got it. Raises OSError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename_locked(temporary, path)
    return True


def _rename_locked(temporary: str, path: str) -> bool:
    """Do the same without hard links: who makes the lock may look and rename.

    A lock that stays was left by a run that was killed in between; it is taken away.
    """
    lock = os.path.splitext(path)[0] + ".lock"
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
            break
        except FileExistsError:
            if os.path.lexists(path):
                return False
        if time.monotonic() > deadline:
            with contextlib.suppress(FileNotFoundError):
                os.rename(lock, temporary + ".lock")  # of several that wait one gets it
                os.unlink(temporary + ".lock")
        time.sleep(0.02)
    try:
        if os.path.lexists(path):
            return False
        os.rename(temporary, path)
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lock)
