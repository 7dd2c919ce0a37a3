"""What both containers share: pulling pieces out of a buffer or a stream.

A container is one function that reads records through `Take`, so a file in memory and a stream that cannot seek go
through the same checks. No length that was read from a file is ever allocated: a buffer's pieces are views,
and a stream is read in chunks, so memory grows with the bytes that really arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, TypeAlias

Take: TypeAlias = Callable[[int], "bytes | memoryview"]
"""Returns the next n bytes, or as many as are left."""

_CHUNK_BYTES = 1 << 20


class MalformedError(ValueError):
    """Bytes that contradict their format; turned into CorruptRecordError where name and place are known."""


def take_from_buffer(buffer: memoryview) -> Take:
    """Return a Take whose pieces are views of `buffer`."""
    position = 0

    def take(num_bytes: int) -> memoryview:
        nonlocal position
        piece = buffer[position : position + num_bytes]
        position += len(piece)
        return piece

    return take


def take_from_stream(stream: BinaryIO) -> Take:
    """Return a Take over a blocking stream, buffered or not; its reads may be short before the end."""
    read = stream.read

    def take(num_bytes: int) -> bytes:
        piece = read(num_bytes if num_bytes < _CHUNK_BYTES else _CHUNK_BYTES)
        return piece if len(piece) == num_bytes else _complete(piece, num_bytes, read)

    return take


def _complete(piece: bytes, num_bytes: int, read: Callable[[int], bytes]) -> bytes:
    """Return a piece that is not all yet with what follows, up to `num_bytes` or the end."""
    pieces, missing = [piece], num_bytes - len(piece)
    while missing and piece:
        piece = read(min(missing, _CHUNK_BYTES))
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
