"""A register of the processes of a host that the container's first process signals when the job is stopped.

Launchers are not signalled: mpirun kills its ranks one second after SIGTERM, and horovodrun after five. On all hosts
but the first, ranks are children of ssh's daemon, not of the first process. So each rank registers itself by a file.

    /tmp/shardpack-<digest of base_dir>/<process id>     locked as long as the process lives
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator

_FOLDER = "/tmp"
"""Not TMPDIR: a rank started through ssh may not have that variable."""
_DIGEST_DIGITS = 16


@contextlib.contextmanager
def registered(base_dir: str) -> Iterator[None]:
    """In the body, this process receives the signal that stops the container.

    If the register's folder cannot be written to, training goes on: other ranks then tell this one of a stop.
    """
    try:
        descriptor = _lock_own_file(base_dir)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.close(descriptor)


class ProcessRegister:
    """The registered processes of a host, as its first process sees them."""

    def __init__(self, base_dir: str) -> None:
        self._folder = _folder_of(base_dir)
        self._signalled: set[int] = set()

    def signal(self, number: int) -> int:
        """Send signal `number` to each living process that has not been signalled yet; return how many live."""
        living = self._living()
        for pid in living - self._signalled:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        self._signalled |= living
        return len(living)

    def _living(self) -> set[int]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return set()
        return {int(name) for name in names if name.isdigit() and _is_locked(os.path.join(self._folder, name))}


def _folder_of(base_dir: str) -> str:
    digest = hashlib.sha256(os.path.realpath(base_dir).encode()).hexdigest()
    return os.path.join(_FOLDER, f"shardpack-{digest[:_DIGEST_DIGITS]}")


def _lock_own_file(base_dir: str) -> int:
    """Return a file descriptor that holds this process's lock until it is closed. Raises OSError."""
    folder = _folder_of(base_dir)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, str(os.getpid()))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _is_locked(path: str) -> bool:
    """Say whether the process that owns a file lives. If the process is gone, remove the file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return False
    finally:
        os.close(descriptor)
