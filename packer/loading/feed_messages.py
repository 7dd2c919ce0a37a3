"""Messages between a loader and the process that makes its batches, through two pipes.

    to the process     a length and FeedOrder as MessagePack; then numbers of slots that are free again
    from the process   for each message: its length, then the message as MessagePack

Lengths and numbers are unsigned, little-endian and of 4 bytes. The end of a pipe tells either side at once that the
other one is gone.
"""

from __future__ import annotations

import os
import pickle
import struct
import threading
import traceback
from typing import TypeAlias

import msgspec

from packer.errors import PackerError, WorkerError
from packer.loading.batch_feed import MadeBatch
from packer.loading.loader_spec import LoaderInput, LoaderSpec
from packer.loading.slot_ring import SlotLayout

NUMBER = struct.Struct("<I")

BEAT_EVERY_S = 1.0
"""Seconds between two signs of life of the process."""


class FeedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Which batches to make, and the layout of the slots they go to."""

    given: LoaderInput
    spec: LoaderSpec
    epoch: int
    position: int
    layout: SlotLayout
    num_slots: int
    manifest_digest: str


class Made(msgspec.Struct, frozen=True, tag=True):
    """The next batch is in its slot."""

    batch: MadeBatch


class Beat(msgspec.Struct, frozen=True, tag=True):
    """A sign of life: the process runs."""


class Ended(msgspec.Struct, frozen=True, tag=True):
    """There are no more batches."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The next batch cannot be made."""

    error: bytes
    """A PackerError, pickled."""


Message: TypeAlias = Made | Beat | Ended | Failed

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Message)


class MessageWriter:
    """The process's end of the pipe of messages; any thread may send."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Send a whole message. Raises BrokenPipeError if the loader has closed the pipe."""
        data = _ENCODER.encode(message)
        with self._lock:
            write_all(self._descriptor, NUMBER.pack(len(data)) + data)


class MessageBuffer:
    """Collects received bytes until they form whole messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        self._data += data

    def next(self) -> Message | None:
        """Return the next whole message; None if it has not arrived completely."""
        if len(self._data) < NUMBER.size:
            return None
        end = NUMBER.size + NUMBER.unpack_from(self._data)[0]
        if len(self._data) < end:
            return None
        message: Message = _DECODER.decode(self._data[NUMBER.size : end])
        del self._data[:end]
        return message


def pack_error(error: BaseException) -> bytes:
    """Return an error as bytes for `Failed`. Any but a PackerError becomes a WorkerError with the traceback as text."""
    if not isinstance(error, PackerError):
        said = "".join(traceback.format_exception(error)).rstrip()
        error = WorkerError(f"the loader's process could not make a batch:\n{said}")
    return pickle.dumps(error)


def unpack_error(data: bytes) -> PackerError:
    """Return the error that `pack_error` packed."""
    error = pickle.loads(data)  # safe: the bytes come from a process that this one started
    assert isinstance(error, PackerError)
    return error


def write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes to a pipe, waiting for room. Raises BrokenPipeError if the other end is closed."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_exactly(descriptor: int, num_bytes: int) -> bytes | None:
    """Read exactly `num_bytes` from a pipe, waiting for them; return None if the pipe ends before."""
    parts = bytearray()
    while len(parts) < num_bytes:
        part = os.read(descriptor, num_bytes - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)
