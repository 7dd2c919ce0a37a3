"""What both containers share: the bytes of a file or stream in chunks, of which records are views.

A container is one function that reads records out of a first chunk and asks `More` for what follows, so a file in
memory and a stream that cannot seek go through the same checks. No length that was read from a file is ever allocated:
memory grows with the bytes that really arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, TypeAlias

Chunk: TypeAlias = "bytes | memoryview"

More: TypeAlias = Callable[[Chunk, int], Chunk]
"""Takes what is left of a chunk and returns it with what follows: at least n bytes in all, or as many as there are."""

Take: TypeAlias = Callable[[int], memoryview]
"""Returns the next n bytes, or as many as are left."""

_CHUNK_BYTES = 1 << 19
"""Fits the cache of a core, so that what was read is still there when it is parsed."""


class MalformedError(ValueError):
    """Bytes that contradict their format; turned into CorruptRecordError where name and place are known."""


def no_more(rest: Chunk, num_bytes: int) -> Chunk:
    """The More of a file that is in memory as a whole."""
    return rest


def more_from_stream(stream: BinaryIO) -> More:
    """Return the More of a blocking stream, buffered or not, whose reads may be short. Its end is met only once."""
    # One read of the system, as an unbuffered stream's `read` is: a FIFO's bytes are parsed when they come.
    read = getattr(stream, "read1", stream.read)
    ended = False

    def more(rest: Chunk, num_bytes: int) -> Chunk:
        nonlocal ended
        pieces, missing = [rest] if rest else [], num_bytes - len(rest)
        while missing > 0 and not ended:
            # A record that begins in one chunk is completed alone: the next chunk behind it would be copied whole.
            piece = read(min(missing, _CHUNK_BYTES) if pieces else _CHUNK_BYTES)
            ended = not piece
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    return more


def create_take(chunk: Chunk, more: More) -> Take:
    """Return a Take over `chunk` and what follows it."""
    view, position = memoryview(chunk), 0

    def take(num_bytes: int) -> memoryview:
        nonlocal view, position
        if len(view) - position < num_bytes:
            view, position = memoryview(more(view[position:], num_bytes)), 0
        piece = view[position : position + num_bytes]
        position += len(piece)
        return piece

    return take
