"""What every container format provides, and the values that pass through it.

A *sample* is one encoded image with its label and fields. A *payload* is that sample in the container's own
serialisation (a tf.train.Example, or an IRHeader and image bytes). A *record* is the payload with its framing.
Formats know bytes only: no files, no network, no images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol, TypeAlias

import msgspec

ExtraValue: TypeAlias = (
    "int | float | str | bytes | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | tuple[bytes, ...]"
)
"""Value of an extra column. Booleans are stored as integers; a missing value is left out."""

Label: TypeAlias = "int | tuple[float, ...] | None"
"""Class id, a vector of floats, or no label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One encoded image with its label and fields."""

    key: str
    """Source key, relative to the source."""
    encoded: bytes
    """The image file's bytes."""
    image_format: str
    """``jpeg``, ``png``, ``webp`` or another Pillow format name in lower case; empty where the container has none."""
    height: int = 0
    """Pixels; 0 where the container does not store it."""
    width: int = 0
    """Pixels; 0 where the container does not store it."""
    channels: int = 0
    """1, 3 or 4; 0 where the container does not store it."""
    label: Label = None
    class_text: str = ""
    """Name of the class; empty without one."""
    source_sha256: str = ""
    """Hex digest of the source file's bytes."""
    extras: Mapping[str, ExtraValue] = field(default_factory=dict)


class Record(msgspec.Struct, frozen=True, gc=False):
    """One framed record as read: its span in the file is ``[offset_bytes, offset_bytes + num_bytes)``."""

    index: int
    """Position in the file, from 0."""
    offset_bytes: int
    num_bytes: int
    """Framed size: header, payload, padding or checksums."""
    payload: bytes | memoryview
    """May be a view of all that was read at once, up to 512 KiB, or of a whole file: who keeps many, copies them."""


class RecordFormat(Protocol):
    """A container of records. Implementations are stateless modules' worth of functions in one frozen value."""

    @property
    def name(self) -> str:
        """``tfrecord`` or ``recordio``."""

    @property
    def suffix(self) -> str:
        """File name suffix with its dot."""

    def frame(self, payload: bytes) -> list[bytes]:
        """Return the framed record as buffers to be written one after another, without copying the payload."""

    def iter_buffer(self, buffer: memoryview, *, name: str, check: bool = True) -> Iterator[Record]:
        """Yield the records of a whole file in memory; payloads are views of `buffer` where they can be.

        Raises CorruptRecordError with `name`, record index and byte offset. `check=False` skips checksums
        (framing is always checked).
        """

    def iter_stream(self, stream: BinaryIO, *, name: str, check: bool = True) -> Iterator[Record]:
        """Yield the records of a stream that cannot seek, such as a FIFO, until its end. Raises as `iter_buffer`."""

    def encode_sample(self, sample: Sample, *, position: int) -> bytes:
        """Serialise a sample to a payload; `position` is its index in the shard."""

    def decode_sample(
        self, payload: bytes | memoryview, *, name: str = "", record_index: int = 0, offset_bytes: int = 0
    ) -> Sample:
        """Parse a payload that `encode_sample` (or TensorFlow or MXNet) wrote.

        Raises CorruptRecordError with `name`, `record_index` and the record's `offset_bytes`.
        """
