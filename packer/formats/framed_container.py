"""Containers that frame record by record: a file is its records one after another, and nothing else.

A container of this kind is a framing and a serialisation, each a few functions. What is added twice is the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from packer.errors import CorruptRecordError
from packer.formats.container import (
    NO_LIMITS,
    NO_SCHEMA,
    Container,
    ItemLimits,
    Label,
    Payload,
    Record,
    RecordPlaces,
    RecordSchema,
    Sample,
    ShardIndex,
    ShardWriter,
    SplitIndexer,
    places_between,
)
from packer.formats.framing import Chunk, MalformedError, More, more_from_stream, no_more


class _FrameRecord(Protocol):
    def __call__(self, payload: bytes) -> list[bytes]: ...


class _IterRecords(Protocol):
    def __call__(self, chunk: Chunk, more: More, *, name: str, check: bool) -> Iterator[Record]: ...


class _EncodeSample(Protocol):
    def __call__(self, sample: Sample, *, position: int) -> bytes: ...


class _DecodeSample(Protocol):
    def __call__(self, payload: bytes | memoryview) -> Sample: ...


def no_side_files(keys: Sequence[str], labels: Sequence[Label]) -> dict[str, bytes]:
    """Return nothing: the container has its index alone beside a shard."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class FramedContainer:
    """A Container made of a framing and a serialisation; the contracts of its methods are Container's."""

    name: str
    suffix: str
    frame: _FrameRecord
    """Returns a framed payload as buffers that follow one another, without copying the payload."""
    iter_records: _IterRecords
    encode_sample: _EncodeSample
    parse_payload: _DecodeSample
    format_index: Callable[[Sequence[int]], bytes]
    """From the framed sizes of a shard's records, in bytes, to its index."""
    parse_index: Callable[[str, str], Sequence[int]]
    """From the text of an index and its name to where the records begin."""
    limits: ItemLimits = NO_LIMITS
    holds_size: bool = True
    holds_columns: bool = True
    holds_pictures: bool = True
    holds_examples: bool = False
    is_streamed: bool = True
    made_by: str = ""
    media_type: str = "application/octet-stream"
    mark_bytes: int = 0
    is_padded: bool = False
    side_suffixes: tuple[str, ...] = ()
    index_split: SplitIndexer | None = None
    make_side_files: Callable[[Sequence[str], Sequence[Label]], dict[str, bytes]] = no_side_files

    def record_places(self, index: ShardIndex) -> RecordPlaces:
        starts = self.parse_index(index.content.decode("ascii", "replace"), index.name)
        return places_between(starts, index.num_bytes)

    def open_writer(self, split: str, shard_index: int, schema: RecordSchema = NO_SCHEMA) -> ShardWriter:
        return _FramedWriter(self)

    def side_files(self, keys: Sequence[str], labels: Sequence[Label]) -> dict[str, bytes]:
        return self.make_side_files(keys, labels)

    def iter_buffer(self, buffer: memoryview, *, name: str, check: bool = True) -> Iterator[Record]:
        return self.iter_records(buffer, no_more, name=name, check=check)

    def iter_stream(self, stream: BinaryIO, *, name: str, check: bool = True) -> Iterator[Record]:
        return self.iter_records(b"", more_from_stream(stream), name=name, check=check)

    def decode_sample(
        self, payload: Payload, *, name: str = "", record_index: int = 0, offset_bytes: int = 0
    ) -> Sample:
        """`offset_bytes`: where the record starts in the file, for the error alone."""
        assert not isinstance(payload, Sample)
        try:
            return self.parse_payload(payload)
        except MalformedError as error:
            raise CorruptRecordError(name, record_index, offset_bytes, str(error)) from None

    def decode_record(
        self,
        record: bytes | memoryview,
        *,
        pictures: Mapping[str, bytes] | None = None,
        name: str = "",
        record_index: int = 0,
        offset_bytes: int = 0,
    ) -> Sample:
        try:
            found = next(self.iter_records(record, no_more, name=name, check=True), None)
        except CorruptRecordError as error:
            raise CorruptRecordError(name, record_index, offset_bytes, error.problem) from None
        if found is None or found.num_bytes != len(record):
            problem = f"expected a record of {len(record):,} bytes, got one of {found.num_bytes if found else 0:,}"
            raise CorruptRecordError(name, record_index, offset_bytes, problem)
        return self.decode_sample(found.payload, name=name, record_index=record_index, offset_bytes=offset_bytes)


class _FramedWriter:
    """See ShardWriter."""

    def __init__(self, container: FramedContainer) -> None:
        self.num_bytes = 0
        self._container = container
        self._frames: list[list[bytes]] = []
        self._sizes_bytes: list[int] = []

    def add(self, sample: Sample, position: int) -> int:
        container = self._container
        frames = container.frame(container.encode_sample(sample, position=position))
        return self._append(frames, sum(map(len, frames)))

    def repeat(self, index: int, position: int) -> int:
        return self._append(self._frames[index], self._sizes_bytes[index])

    def finish(self) -> list[bytes]:
        return [buffer for frames in self._frames for buffer in frames]

    def index(self) -> bytes:
        return self._container.format_index(self._sizes_bytes)

    def _append(self, frames: list[bytes], num_bytes: int) -> int:
        self._frames.append(frames)
        self._sizes_bytes.append(num_bytes)
        self.num_bytes += num_bytes
        return num_bytes


_CONFORMS: type[Container] = FramedContainer
"""For the type checker."""
