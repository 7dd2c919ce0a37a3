"""A bounded folder of whole shards that all processes of a host share.

    lock                   locked while a process changes the folder
    shards/SHA256          a whole shard, named by its digest in the manifest, so that data sets share equal shards
    parts/SHA256.BYTES     a shard that is being written, locked by the process that writes it
    readers/ID             the digests that a live process will read, soonest first, locked by that process

All locks are taken by flock, and the system releases those of a killed process. A file without a lock therefore has
no owner and is removed. A shard gets its name by a rename after its bytes are on the disk.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MAX_ANNOUNCED = 1024
"""Most digests that a process announces; all later ones count as equally late."""
_ATTEMPTS = 100
"""Attempts to lock a lock file that other processes keep removing."""


class Refusal(enum.Enum):
    """Why a shard must not be fetched now."""

    PRESENT = "it is there"
    ELSEWHERE = "another process fetches it"
    NO_ROOM = "all that is there is needed sooner"


@dataclass(frozen=True, slots=True)
class Part:
    """A locked file of this process: a shard that is being written, or its announcement."""

    descriptor: int
    path: Path
    target: Path


class CacheFolder:
    """One process's use of the folder. Safe to use from many threads."""

    def __init__(self, root: Path, max_bytes: int, *, is_temporary: bool = False) -> None:
        """Remember the folder; it is made when it is first needed.

        Args:
            root: path on a file system of this machine.
            max_bytes: limit for all shards in the folder together, including those that are being written.
            is_temporary: True if the last process to close the folder removes it.
        """
        self.root, self.max_bytes, self._is_temporary = root, max_bytes, is_temporary
        self._reader: Part | None = None

    @property
    def shards(self) -> Path:
        return self.root / "shards"

    def has(self, digest: str, num_bytes: int) -> bool:
        """Say whether the folder holds a whole shard of this digest and size."""
        try:
            return os.stat(self.shards / digest).st_size == num_bytes
        except OSError:
            return False

    def announce(self, digests: Sequence[str]) -> None:
        """Tell all processes which shards this one will read, soonest first, so that they keep them. Raises OSError."""
        with self._locked():
            if self._reader is None:
                path = self.root / "readers" / uuid.uuid4().hex
                self._reader = Part(_open_locked(path), path, path)
            os.ftruncate(self._reader.descriptor, 0)
            os.pwrite(self._reader.descriptor, "\n".join(digests[:_MAX_ANNOUNCED]).encode(), 0)

    def begin(self, digest: str, num_bytes: int) -> Part | Refusal:
        """Make room for a shard and return the file to write it to, or why it must not be fetched now.

        Raises OSError.
        """
        with self._locked():
            if self.has(digest, num_bytes):
                return Refusal.PRESENT
            path = self.root / "parts" / f"{digest}.{num_bytes}"
            try:
                descriptor = _open_locked(path)
            except BlockingIOError:
                return Refusal.ELSEWHERE
            try:
                os.ftruncate(descriptor, 0)  # drop what a killed process left
                if self._make_room(digest, num_bytes):
                    return Part(descriptor, path, self.shards / digest)
            except BaseException:
                _remove(path, descriptor)
                raise
            _remove(path, descriptor)
            return Refusal.NO_ROOM

    def finish(self, part: Part) -> None:
        """Rename a whole, checked shard to its final name. Raises OSError."""
        os.fsync(part.descriptor)
        with self._locked():
            os.replace(part.path, part.target)
            os.close(part.descriptor)

    def abandon(self, part: Part) -> None:
        """Remove a shard whose download failed."""
        _remove(part.path, part.descriptor)

    def close(self) -> None:
        """Withdraw this process's announcement; the last process to do so removes a temporary folder."""
        if self._reader is None:
            return
        with contextlib.suppress(OSError), self._locked():
            _remove(self._reader.path, self._reader.descriptor)
            self._reader = None
            if self._is_temporary and not list(self._live_readers()):
                shutil.rmtree(self.root, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = self._lock()
        try:
            yield
        finally:
            os.close(descriptor)

    def _lock(self) -> int:
        """Make the folders, lock the lock file and return its descriptor. Raises OSError."""
        path = self.root / "lock"
        for _ in range(_ATTEMPTS):
            for name in ("shards", "parts", "readers"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)) and self.shards.is_dir():
                    return descriptor
            os.close(descriptor)  # the folder was removed meanwhile
        raise FileNotFoundError(f"{path}: removed again and again by others")

    def _make_room(self, digest: str, num_bytes: int) -> bool:
        """Remove shards that are needed later than this one until it fits; if it cannot fit, remove none."""
        found = [(entry.name, entry.stat()) for entry in os.scandir(self.shards)]
        excess = sum(status.st_size for _, status in found) + self._bytes_coming() - self.max_bytes
        if excess <= 0:
            return True
        places = self._places()
        own_place = places.get(digest, _MAX_ANNOUNCED)
        last = sorted(found, key=lambda item: (-places.get(item[0], _MAX_ANNOUNCED), item[1].st_mtime_ns))
        removed = []
        for name, status in last:
            if excess <= 0 or places.get(name, _MAX_ANNOUNCED) <= own_place:
                break
            removed.append(name)
            excess -= status.st_size
        if excess > 0:
            return False
        for name in removed:
            os.unlink(self.shards / name)
        return True

    def _bytes_coming(self) -> int:
        """Return how many bytes all parts will have when complete; remove parts that no process writes any more."""
        total = 0
        for entry in os.scandir(self.root / "parts"):
            total += 0 if _remove_if_dead(Path(entry.path)) else int(entry.name.rpartition(".")[2])
        return total

    def _places(self) -> dict[str, int]:
        """Return for each announced digest its place in the announcement that has it soonest, counted from 0."""
        places: dict[str, int] = {}
        for path in self._live_readers():
            for place, digest in enumerate(path.read_text(encoding="ascii").split("\n")):
                places[digest] = min(place, places.get(digest, place))
        return places

    def _live_readers(self) -> Iterator[Path]:
        for entry in list(os.scandir(self.root / "readers")):
            if not _remove_if_dead(Path(entry.path)):
                yield Path(entry.path)


def _open_locked(path: Path) -> int:
    """Open a file, make it if missing, and lock it. Raises BlockingIOError if another process holds the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove(path: Path, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.close(descriptor)


def _remove_if_dead(path: Path) -> bool:
    """Remove a file that no process has locked; return whether the file is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _remove(path, descriptor)
    return True
