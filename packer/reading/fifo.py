"""One epoch of a Pipe channel as a stream: a FIFO that another process makes and feeds, and never a wait for ever.

A FIFO's end is the closing of its last writer, and before the first one there is no end yet: a read returns nothing in
both cases. `poll` tells them apart, since Linux says POLLHUP only once a writer has been there.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import select
import stat
import threading
import time

from packer.errors import DataSetError

_LOOK_EVERY_S = 0.02
"""How often to look whether the FIFO is there."""
_WAIT_MS = 500
"""A reader that waits sees after this time that it was closed."""
_PIPE_MAX_SIZE = "/proc/sys/fs/pipe-max-size"


class FifoStream(io.RawIOBase):
    """The bytes of a FIFO up to its end, to be read through a BufferedReader."""

    def __init__(self, path: str, *, timeout_s: float) -> None:
        """Open the FIFO as soon as it is there; its first writer is waited for by the first read.

        Raises:
            DataSetError: it is not there in time, cannot be opened, or is no FIFO.
        """
        self._path, self._timeout_s = path, timeout_s
        self._lock = threading.Lock()
        self._ended = False
        self._released = True
        self._num_bytes = 0
        _wait_for_fifo(path, timeout_s)
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise DataSetError(f"{path}: cannot open the FIFO: {error.strerror}") from error
        self._released = False
        _enlarge(self._descriptor)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Close the FIFO, which tells its writer that the rest of the epoch is not wanted."""
        if not self.closed:
            self.abandon()
            super().close()

    def abandon(self) -> None:
        """Close the FIFO under a reader that may still be at it, in another thread; its next read is an error."""
        with self._lock:
            if not self._released:
                self._released = True
                os.close(self._descriptor)

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read what there is, waiting for it. Returns 0 at the end.

        Raises:
            DataSetError: no byte came in time, or the stream was closed meanwhile.
        """
        deadline_s = time.monotonic() + self._timeout_s
        while not self._ended:
            num_bytes = self._read(buffer)
            if num_bytes:
                self._num_bytes += num_bytes
                return num_bytes
            self._ended = self._wait()
            if not self._ended and time.monotonic() > deadline_s:
                raise self._starved_error()
        return 0

    def _read(self, buffer: memoryview) -> int:
        with self._lock:
            if self._released:
                raise DataSetError(
                    f"{self._path}: closed while it was read: a channel has one reader, and its next epoch was begun"
                )
            try:
                return os.readv(self._descriptor, [buffer])
            except BlockingIOError:
                return 0

    def _wait(self) -> bool:
        """Wait a moment for bytes or a writer; return whether the stream is at its end instead."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        events = poll.poll(min(_WAIT_MS, self._timeout_s * 1000))
        return bool(events) and not events[0][1] & select.POLLIN and not self._released

    def _starved_error(self) -> DataSetError:
        return DataSetError(
            f"{self._path}: waited {self._timeout_s:g} s for byte {self._num_bytes:,} and none came: nobody feeds the "
            "channel, or who does hangs"
        )


def _wait_for_fifo(path: str, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            if time.monotonic() > deadline_s:
                raise DataSetError(
                    f"{path}: waited {timeout_s:g} s for the FIFO of a Pipe channel's epoch, which nobody made"
                ) from None
            time.sleep(min(_LOOK_EVERY_S, timeout_s))
            continue
        except OSError as error:
            raise DataSetError(f"{path}: cannot look at the FIFO: {error.strerror}") from error
        if not stat.S_ISFIFO(mode):
            raise DataSetError(f"{path}: expected the FIFO of a Pipe channel's epoch, found another kind of file")
        return


def _enlarge(descriptor: int) -> None:
    """Let the pipe hold as much as the system grants, so that reader and writer take turns less often."""
    with contextlib.suppress(OSError, ValueError), open(_PIPE_MAX_SIZE, encoding="ascii") as file:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, int(file.read()))
