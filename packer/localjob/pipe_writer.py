"""SageMaker's Pipe mode on one machine: a FIFO for each channel and epoch of an instance, written by a thread.

    <data>/train0_0    the instance's objects one after another, then the end of the file
    <data>/train0_1    made when the FIFO before was read to its end or closed; ShuffleConfig changes the order
    ...                until the job ends

A FIFO that has been read stays as a name without a writer. All FIFOs are removed together at the end.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from packer.channels.jobfiles import JobFiles

_POLL_S = 0.02
"""Seconds between two checks for a reader, or for the end of the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelUse:
    """How the ranks of an instance read a Pipe channel."""

    host: str
    channel: str
    epochs_read: int = 0
    """FIFOs that were read to their end."""
    epochs_closed_early: int = 0
    """FIFOs that were opened, but closed before their end, or still open when the job ended."""
    num_bytes: int = 0
    """Bytes written to FIFOs."""


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A local file to stream from its first byte to its last."""

    path: str
    num_bytes: int


Piece: TypeAlias = "bytes | WholeFile"


class PipeChannel:
    """Serves one channel of one instance, from its construction until `close`."""

    def __init__(self, files: JobFiles, channel: str, *, epoch_pieces: Callable[[int], Iterable[Piece]]) -> None:
        """Make the first FIFO and start to serve it.

        Args:
            files: files of the instance.
            channel: name of the channel.
            epoch_pieces: returns the pieces of an epoch, counted from 0.
        """
        self._files = files
        self._channel = channel
        self._epoch_pieces = epoch_pieces
        self._stop = threading.Event()
        self._paths: list[str] = []
        self._epochs_read = self._epochs_closed_early = self._num_bytes = 0
        self._error: Exception | None = None
        self._make_fifo(0)  # before any rank looks for it
        self._thread = threading.Thread(target=self._serve, name=f"pipe {channel}", daemon=True)
        self._thread.start()

    def close(self) -> ChannelUse:
        """Stop serving, remove the FIFOs and return how they were read.

        Raises:
            OSError: an object could not be read, or a FIFO could not be made or written to.
        """
        self._stop.set()
        self._thread.join()
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        if self._error is not None:
            raise self._error
        return ChannelUse(
            host=self._files.resources.current_host,
            channel=self._channel,
            epochs_read=self._epochs_read,
            epochs_closed_early=self._epochs_closed_early,
            num_bytes=self._num_bytes,
        )

    @property
    def error(self) -> Exception | None:
        """The error that stopped the service; None if there was none."""
        return self._error

    def _make_fifo(self, epoch: int) -> str:
        path = self._files.fifo(self._channel, epoch=epoch)
        os.mkfifo(path)
        self._paths.append(path)
        return path

    def _serve(self) -> None:
        try:
            while self._serve_epoch(len(self._paths) - 1):
                self._make_fifo(len(self._paths))
        except Exception as error:  # any error of a store; the job's main thread raises it again
            self._error = error

    def _serve_epoch(self, epoch: int) -> bool:
        """Stream one epoch; return False if the job has ended."""
        descriptor = self._open(self._paths[epoch])
        if descriptor is None:
            return False
        try:
            was_read = self._write_all(descriptor, epoch)
        finally:
            os.close(descriptor)
        self._epochs_read += bool(was_read)
        self._epochs_closed_early += not was_read
        return was_read is not None

    def _open(self, path: str) -> int | None:
        """Wait for a reader and return the FIFO's descriptor for writing; None if the job ends before."""
        while not self._stop.is_set():
            try:
                return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.ENXIO:  # ENXIO: no reader yet
                    raise
            self._stop.wait(_POLL_S)
        return None

    def _write_all(self, descriptor: int, epoch: int) -> bool | None:
        """Write an epoch; return True if it was read to its end, False if not, None if the job ended meanwhile."""
        try:
            for piece in self._epoch_pieces(epoch):
                if isinstance(piece, WholeFile):
                    passed_on = self._splice(descriptor, piece)
                else:
                    passed_on = self._write(descriptor, piece)
                if not passed_on:
                    return None
            return True if self._wait_until_drained(descriptor) else None
        except BrokenPipeError:
            return False

    def _write(self, descriptor: int, piece: bytes) -> bool:
        """Write bytes as the reader takes them; return False if the job ended before all were written."""
        left = memoryview(piece)
        while len(left):
            if self._stop.is_set():
                return False
            if not _is_writable(descriptor):
                continue
            with contextlib.suppress(BlockingIOError):
                count = os.write(descriptor, left)
                self._num_bytes += count
                left = left[count:]
        return True

    def _splice(self, descriptor: int, file: WholeFile) -> bool:
        """Let the kernel pass a file's pages on, so that streaming takes no CPU time from ranks; return as `_write`.

        Raises:
            OSError: the file cannot be read, or ends too early.
        """
        left = file.num_bytes
        with open(file.path, "rb", buffering=0) as source:
            while left:
                if self._stop.is_set():
                    return False
                if not _is_writable(descriptor):
                    continue
                with contextlib.suppress(BlockingIOError):
                    count = os.splice(source.fileno(), descriptor, left)
                    if not count:
                        raise OSError(f"{file.path}: expected {file.num_bytes:,} bytes, found {left:,} fewer")
                    self._num_bytes += count
                    left -= count
        return True

    def _wait_until_drained(self, descriptor: int) -> bool:
        """Wait until the FIFO is empty; return False if the job ended before.

        Raises BrokenPipeError if the reader closes the FIFO while bytes are left.
        """
        while _unread_bytes(descriptor):
            if self._stop.is_set():
                return False
            if _has_no_reader(descriptor):
                raise BrokenPipeError
            self._stop.wait(_POLL_S / 10)
        return True


def _is_writable(descriptor: int) -> bool:
    """Wait a moment; return True if a write would not block (it may fail)."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(_POLL_S * 1000))


def _has_no_reader(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))


def _unread_bytes(descriptor: int) -> int:
    answer = fcntl.ioctl(descriptor, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def close_channels(channels: Sequence[PipeChannel]) -> tuple[ChannelUse, ...]:
    """Close all channels and return how they were read. Raises the first error after all are closed."""
    uses, errors = [], []
    for channel in channels:
        try:
            uses.append(channel.close())
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return tuple(uses)


def concatenate(keys: Sequence[str], pieces: Callable[[str], Iterator[Piece]]) -> Iterator[Piece]:
    """Yield the pieces of several objects, one object after another."""
    for key in keys:
        yield from pieces(key)
