"""The container formats by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from packer.errors import CorruptRecordError
from packer.formats import recordio, tfrecord
from packer.formats.container import Record, RecordFormat, Sample
from packer.formats.features import decode_sample_example, encode_sample_example
from packer.formats.framing import Chunk, MalformedError, More, more_from_stream, no_more
from packer.formats.irheader import decode_image_record, encode_image_record
from packer.specs import FormatName


class _FrameRecord(Protocol):
    def __call__(self, payload: bytes) -> list[bytes]: ...


class _IterRecords(Protocol):
    def __call__(self, chunk: Chunk, more: More, *, name: str, check: bool) -> Iterator[Record]: ...


class _EncodeSample(Protocol):
    def __call__(self, sample: Sample, *, position: int) -> bytes: ...


class _DecodeSample(Protocol):
    def __call__(self, payload: bytes | memoryview) -> Sample: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Container:
    """A RecordFormat made of a framing and a serialisation; the methods' contracts are RecordFormat's."""

    name: str
    suffix: str
    frame_record: _FrameRecord
    iter_records: _IterRecords
    encode: _EncodeSample
    decode: _DecodeSample

    def frame(self, payload: bytes) -> list[bytes]:
        return self.frame_record(payload)

    def iter_buffer(self, buffer: memoryview, *, name: str, check: bool = True) -> Iterator[Record]:
        return self.iter_records(buffer, no_more, name=name, check=check)

    def iter_stream(self, stream: BinaryIO, *, name: str, check: bool = True) -> Iterator[Record]:
        return self.iter_records(b"", more_from_stream(stream), name=name, check=check)

    def encode_sample(self, sample: Sample, *, position: int) -> bytes:
        return self.encode(sample, position=position)

    def decode_sample(
        self, payload: bytes | memoryview, *, name: str = "", record_index: int = 0, offset_bytes: int = 0
    ) -> Sample:
        """`offset_bytes`: where the record starts in the file, for the error alone."""
        try:
            return self.decode(payload)
        except MalformedError as error:
            raise CorruptRecordError(name, record_index, offset_bytes, str(error)) from None


TFRECORD: RecordFormat = _Container(
    name=FormatName.TFRECORD.value,
    suffix=".tfrecord",
    frame_record=tfrecord.frame_record,
    iter_records=tfrecord.iter_records,
    encode=encode_sample_example,
    decode=decode_sample_example,
)
RECORDIO: RecordFormat = _Container(
    name=FormatName.RECORDIO.value,
    suffix=".rec",
    frame_record=recordio.frame_record,
    iter_records=recordio.iter_records,
    encode=encode_image_record,
    decode=decode_image_record,
)


def get_format(name: FormatName) -> RecordFormat:
    """Return the container that `name` stands for."""
    return {FormatName.TFRECORD: TFRECORD, FormatName.RECORDIO: RECORDIO}[name]
