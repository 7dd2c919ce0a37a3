"""SageMaker's Pipe mode on one machine: a FIFO for each channel and epoch of an instance, written by a thread.

    <data>/train0_0    the instance's objects one after another, then the end of the file
    <data>/train0_1    made when the one before was read to its end or closed early; in another order with ShuffleConfig
    ...                until the job ends

A FIFO that was read stays where it is, as a name without a writer, until all are removed together.
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
"""How often a writer looks for a reader, or whether the job has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelUse:
    """How an instance's ranks read a Pipe channel."""

    host: str
    channel: str
    epochs_read: int = 0
    """FIFOs that were read to their end."""
    epochs_closed_early: int = 0
    """FIFOs that were opened, but closed before their end, or still open when the job ended."""
    num_bytes: int = 0
    """Bytes that went into FIFOs."""


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A local file, to be streamed from its first byte to its last."""

    path: str
    num_bytes: int


Piece: TypeAlias = "bytes | WholeFile"


class PipeChannel:
    """Serves one channel of one instance, from its construction until `close`."""

    def __init__(self, files: JobFiles, channel: str, *, epoch_pieces: Callable[[int], Iterable[Piece]]) -> None:
        """Start to serve.

        Args:
            files: of the instance.
            channel: its name.
            epoch_pieces: returns what an epoch, counted from 0, consists of.
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
            OSError: an object could not be read, or a FIFO not made or written.
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
        """What ended the service before its time."""
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
        except Exception as error:  # whatever a store raises; the job's own thread raises it
            self._error = error

    def _serve_epoch(self, epoch: int) -> bool:
        """Stream one epoch; return whether another one follows."""
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
        """Return the FIFO, open for writing as soon as it has a reader; None when the job ends before."""
        while not self._stop.is_set():
            try:
                return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.ENXIO:  # that one says: no reader yet
                    raise
            self._stop.wait(_POLL_S)
        return None

    def _write_all(self, descriptor: int, epoch: int) -> bool | None:
        """Write an epoch; return whether it was read to its end, None when the job ended in the middle."""
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
        """Write bytes as they are read; return False when the job ended before all were written."""
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
        """Let the kernel pass on a file's pages, so that streaming takes no time of the ranks; return as `_write`.

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
        """Wait until nothing is left in the FIFO; return False when the job ended before.

        Raises BrokenPipeError where the reader closes it with bytes left.
        """
        while _unread_bytes(descriptor):
            if self._stop.is_set():
                return False
            if _has_no_reader(descriptor):
                raise BrokenPipeError
            self._stop.wait(_POLL_S / 10)
        return True


def _is_writable(descriptor: int) -> bool:
    """Wait a moment until a write would do something, if only fail."""
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
    """Close all of them. Raises the first error, after all are closed."""
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
    """Yield objects one after another, with nothing between them."""
    for key in keys:
        yield from pieces(key)
