"""What every container format provides, and the values that pass through it.

A *sample* is one encoded image with its label and fields. A *payload* is that sample in the container's own
serialisation (a tf.train.Example, or an IRHeader and image bytes). A *record* is the payload with its framing.
Formats know bytes only: no files, no network, no images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias

import msgspec

from packer.specs import FieldSpec

if TYPE_CHECKING:
    import pyarrow as pa  # a loader does without

ExtraValue: TypeAlias = (
    "int | float | str | bytes | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | tuple[bytes, ...]"
)
"""Value of an extra column. Booleans are stored as integers; a missing value is left out."""

Label: TypeAlias = "int | tuple[float, ...] | None"
"""Class id, a vector of floats, or no label."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file beside the sample's own: a mask, or a further image."""

    encoded: bytes
    image_format: str
    """As in `Sample`."""


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
    """Columns beside the label; boxes, key points and texts are some of these."""
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    """Masks and further images by the names of their fields."""
    fields: Sequence[FieldSpec] = ()
    """What some of the extras and pictures are, for a writer; empty where a sample was read."""


Payload: TypeAlias = "bytes | memoryview | Sample"
"""A sample in its container's serialisation; the sample itself, where the values of many lie side by side."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as read."""

    index: int
    """Position in the file, from 0."""
    offset_bytes: int
    """Where it begins in the file: its first byte, or that of its picture where a record is no run of bytes."""
    num_bytes: int
    """Framed size: header, payload, padding or checksums. Where a record is no run of bytes: the size of its values."""
    payload: Payload
    """May be a view of all that was read at once, up to 512 KiB, or of a whole file: who keeps many, copies them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlaces:
    """Where what can be read of a shard's records lies: of record i ``[offsets[i], offsets[i] + sizes[i])``."""

    offsets_bytes: Sequence[int]
    """In the file, in the order of the records."""
    sizes_bytes: Sequence[int]
    pictures: Mapping[str, RecordPlaces] = field(default_factory=dict)
    """Where masks and further images lie that are no part of the above, by the names of their fields."""

    def spans_of(self, record: int) -> Iterator[tuple[int, int]]:
        """Yield offset and size in bytes of what lies elsewhere of a record: of itself, then of each of `pictures`."""
        for places in (self, *self.pictures.values()):
            yield places.offsets_bytes[record], places.sizes_bytes[record]


def places_between(starts: Sequence[int], end: int) -> RecordPlaces:
    """Return the places of records that follow one another, the last one up to `end`, in bytes of the file."""
    sizes = [stop - start for start, stop in pairwise(chain(starts, (end,)))]
    return RecordPlaces(offsets_bytes=starts, sizes_bytes=sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSchema:
    """What is the same for all records of a data set."""

    label_kind: str = "none"
    """``none``, ``class`` or ``floats``."""
    num_classes: int = 0
    class_names: Sequence[str] = ()
    """By class id; empty where classes have no names, and of some ids where those have none."""
    columns: pa.Schema | None = None
    """Extra columns with their types, those of fields but not of pictures among them; None: there are none."""
    fields: Sequence[FieldSpec] = ()


NO_SCHEMA = RecordSchema()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemLimits:
    """Which items a container cannot hold. Each rule ends a message: what is expected, and what to do."""

    unfit_key: str = ""
    """Regular expression found in keys that do not fit, for Python's `re` and Arrow's RE2 alike; empty: all fit."""
    key_rule: str = ""
    class_ids: range | None = None
    """Class ids that fit; None: all of int64."""
    class_rule: str = ""
    finite_rule: str = ""
    """Empty where numbers need not be finite."""
    taken_names: frozenset[str] = frozenset()
    """Names that neither an extra column nor a field may have."""


NO_LIMITS = ItemLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardIndex:
    """The index of one shard, as it was written."""

    content: bytes
    num_bytes: int
    """Size of the shard."""
    name: str
    """Path or URI of the index, for messages."""


SplitIndexer: TypeAlias = Callable[[Iterable[ShardIndex]], Iterator[bytes]]
"""Yields, shard by shard, the content of one index over all shards of a split, in their order."""


class ShardWriter(Protocol):
    """A shard that grows in memory, record by record."""

    @property
    def num_bytes(self) -> int:
        """Size of the file, were it finished now; at least that, where it is known only once the file is finished."""

    def add(self, sample: Sample, position: int) -> int:
        """Append a sample as the record at `position`, the number of those before it; return its size in bytes.

        Raises OptionsError for a sample that the container cannot hold.
        """

    def repeat(self, index: int, position: int) -> int:
        """Append what was added at `index` once more, as the record at `position`; return its size in bytes."""

    def finish(self) -> Sequence[bytes | memoryview]:
        """Return the file as buffers that follow one another."""

    def index(self) -> bytes:
        """Return the content of the shard's ``.idx``, as NVIDIA DALI or MXNet reads it."""


class ShardReader(Protocol):
    """Reads the shards of one container. Has no state."""

    def iter_buffer(self, buffer: memoryview, *, name: str, check: bool = True) -> Iterator[Record]:
        """Yield the records of a whole file in memory; payloads are views of `buffer` where they can be.

        Raises CorruptRecordError with `name`, record index and byte offset. `check=False` skips checksums
        (framing is always checked).
        """

    def iter_stream(self, stream: BinaryIO, *, name: str, check: bool = True) -> Iterator[Record]:
        """Yield the records of a stream that cannot seek, such as a FIFO, until its end; files in it may follow one
        another. Raises as `iter_buffer`.
        """

    def decode_sample(
        self, payload: Payload, *, name: str = "", record_index: int = 0, offset_bytes: int = 0
    ) -> Sample:
        """Parse the payload of a record that was read.

        Raises CorruptRecordError with `name`, `record_index` and the record's `offset_bytes`.
        """

    def decode_record(
        self,
        record: bytes | memoryview,
        *,
        pictures: Mapping[str, bytes] | None = None,
        name: str = "",
        record_index: int = 0,
        offset_bytes: int = 0,
    ) -> Sample:
        """Check and parse one record by itself: what lies at its place (`record_places`), and at those of `pictures`.

        Checksums are verified, and the record must fill its bytes. Where a record is no run of bytes this gives its
        pictures alone; all else is in the table of records. Raises as `decode_sample`.
        """


class Container(ShardReader, Protocol):
    """A container: how its shards are written and read, what it can hold, and which files stand beside a shard."""

    @property
    def name(self) -> str:
        """The value of its FormatName."""

    @property
    def suffix(self) -> str:
        """File name suffix with its dot."""

    @property
    def limits(self) -> ItemLimits:
        """What items must keep to."""

    @property
    def holds_size(self) -> bool:
        """A record has its picture's width, height and channels, so a writer has to know them."""

    @property
    def holds_columns(self) -> bool:
        """A record has its key and the extra columns, which else the tables of records alone have."""

    @property
    def holds_pictures(self) -> bool:
        """A record has room for masks and further images."""

    @property
    def holds_examples(self) -> bool:
        """Its files are those of TensorFlow's TFRecordDataset, each payload a tf.train.Example."""

    @property
    def is_streamed(self) -> bool:
        """Records are runs of bytes that follow one another, so one is read by itself, and all from a Pipe."""

    @property
    def made_by(self) -> str:
        """Library and version that decide the bytes of a shard, beside its samples; empty: nothing else does."""

    @property
    def media_type(self) -> str:
        """The media type of its files."""

    @property
    def mark_bytes(self) -> int:
        """What stands in a file behind its last record, in bytes; 0 where records are no runs of bytes."""

    @property
    def is_padded(self) -> bool:
        """Its records are larger than those of other containers by more than a few bytes."""

    @property
    def side_suffixes(self) -> tuple[str, ...]:
        """The suffixes of the files that `side_files` gives."""

    @property
    def index_split(self) -> SplitIndexer | None:
        """Makes the index over all shards of a split; None where nobody reads one."""

    def record_places(self, index: ShardIndex) -> RecordPlaces:
        """Return where a shard's records lie, as its ``.idx`` says. Raises CorruptRecordError where that cannot be."""

    def open_writer(self, split: str, shard_index: int, schema: RecordSchema = NO_SCHEMA) -> ShardWriter:
        """Return an empty shard of a split, whose samples are as `schema` says.

        Without a schema it tells sizes and cannot be finished, where all shards must have the same columns.
        """

    def side_files(self, keys: Sequence[str], labels: Sequence[Label]) -> dict[str, bytes]:
        """Return the files beside a shard that follow from its records' keys and labels, by suffix."""
