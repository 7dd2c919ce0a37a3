"""What passes between a loader and the process that makes its batches, through two pipes.

    to the process     4 bytes of length, FeedOrder as MessagePack; then the numbers of slots that are free again
    from the process   4 bytes of length and a message as MessagePack, again and again

Numbers are little-endian and of 4 bytes. A pipe's end tells either side at once that the other one is gone.
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
"""How often the process says that it runs."""


class FeedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Which batches are to be made, and where they go."""

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
    """The process runs."""


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
        """Send a message whole. Raises BrokenPipeError where nobody reads any more."""
        data = _ENCODER.encode(message)
        with self._lock:
            write_all(self._descriptor, NUMBER.pack(len(data)) + data)


class MessageBuffer:
    """Bytes that came, until they make whole messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        self._data += data

    def next(self) -> Message | None:
        """Return the next whole message; None where it has not yet come."""
        if len(self._data) < NUMBER.size:
            return None
        end = NUMBER.size + NUMBER.unpack_from(self._data)[0]
        if len(self._data) < end:
            return None
        message: Message = _DECODER.decode(self._data[NUMBER.size : end])
        del self._data[:end]
        return message


def pack_error(error: BaseException) -> bytes:
    """Return an error as `Failed` holds it: one of shardpack's as it is, any other with its traceback as text."""
    if not isinstance(error, PackerError):
        said = "".join(traceback.format_exception(error)).rstrip()
        error = WorkerError(f"the loader's process could not make a batch:\n{said}")
    return pickle.dumps(error)


def unpack_error(data: bytes) -> PackerError:
    """Return the error that `pack_error` was given."""
    error = pickle.loads(data)  # from a process that this one started
    assert isinstance(error, PackerError)
    return error


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a pipe, waiting for room. Raises BrokenPipeError where nobody reads any more."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_exactly(descriptor: int, num_bytes: int) -> bytes | None:
    """Read so many bytes from a pipe, waiting for them; None where it ends before."""
    parts = bytearray()
    while len(parts) < num_bytes:
        part = os.read(descriptor, num_bytes - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)
