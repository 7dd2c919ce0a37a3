"""What both containers share: pulling pieces out of a buffer or a stream, and naming the place of a fault.

A container is one function that reads the next record through `Take`, so a file in memory and a stream that cannot
seek go through the same checks. No length that was read from a file is ever allocated: a buffer's pieces are views,
and a stream is read in chunks, so memory grows with the bytes that really arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeAlias

from packer.errors import CorruptRecordError
from packer.formats.base import Record

Take: TypeAlias = Callable[[int], "bytes | memoryview"]
"""Returns the next n bytes, or as many as are left."""

ReadRecord: TypeAlias = "Callable[[Take], tuple[bytes | memoryview, int] | None]"
"""Returns the next payload and its framed size in bytes, or None at the end. Raises MalformedError."""

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

    def take(num_bytes: int) -> bytes:
        chunk = stream.read(min(num_bytes, _CHUNK_BYTES))
        missing = num_bytes - len(chunk)
        if not missing:
            return chunk
        chunks = [chunk]
        while missing and chunk:
            chunk = stream.read(min(missing, _CHUNK_BYTES))
            chunks.append(chunk)
            missing -= len(chunk)
        return b"".join(chunks)

    return take


def iter_records(take: Take, read_record: ReadRecord, *, name: str) -> Iterator[Record]:
    """Yield records until the end.

    Raises:
        CorruptRecordError: with `name`, the record's index and the byte that it starts at.
    """
    index = offset_bytes = 0
    while True:
        try:
            found = read_record(take)
        except MalformedError as error:
            raise CorruptRecordError(name, index, offset_bytes, str(error)) from None
        if found is None:
            return
        payload, num_bytes = found
        yield Record(index, offset_bytes, num_bytes, payload)
        index += 1
        offset_bytes += num_bytes
