"""WebDataset: a tar archive whose members of one base name are one sample.

    train-00003-000017.cls     the class id as text, where there is one
    train-00003-000017.jpg     the image, by its format
    train-00003-000017.json    all else: the fields of `features`, under the same names, and the extra columns

Each member is a ustar header of 512 bytes and its content, padded with zeros to a multiple of 512; names are split,
shard and position, so they are unique in a data set, and times are 0. A shard ends with 1,024 zero bytes. Readers go on
after them, since shards follow one another in a pipe. The format is POSIX 1003.1-1990's ustar; tar has a checksum of
each header and none of content.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from packer.errors import CorruptRecordError
from packer.formats.container import (
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
from packer.formats.sample_members import Members, decode_members, encode_members

BLOCK_BYTES = 512
MARK_BYTES = 2 * BLOCK_BYTES

_AHEAD_BYTES = 1 << 18
"""Asked for at a time: a record ends where the header behind it says so, and each would be read in small pieces."""
_ZERO_BLOCK = bytes(BLOCK_BYTES)
_MARK = bytes(MARK_BYTES)
_NAME_BYTES = 100
_FIELDS = struct.Struct("100s24x12s12x8sc100x6s249x")
"""Name, size, checksum, kind and magic."""
_AFTER_SIZE = b"0" * 11 + b"\0" + b" " * 8 + b"0"
"""The time of change, the checksum while it is being made, and the kind: a regular file."""
_TAIL = bytes(100) + b"ustar\0" + b"00" + bytes(BLOCK_BYTES - 265)
_OWNER = b"0000644\0" + b"0000000\0" * 2
_FIXED_SUM = sum(_OWNER) + sum(_AFTER_SIZE) + sum(_TAIL)
_REGULAR_KINDS = (b"0", b"\0")


_LIMITS = ItemLimits(
    finite_rule="expected none, since .json members cannot hold them; leave them out, or use `format=tfrecord`"
)


class Header(NamedTuple):
    """What the header of a member says."""

    key: str
    """The member's name up to the first dot."""
    extension: str
    num_bytes: int
    """Size of its content."""


def encode_header(name: str, num_bytes: int) -> bytes:
    """Return the ustar header of a regular file, whose name has at most 100 bytes, and size less than 8 GiB."""
    field = name.encode().ljust(_NAME_BYTES, b"\0")
    size = b"%011o\0" % num_bytes
    checksum = b"%06o\0 " % (_FIXED_SUM + sum(field) + sum(size))
    return b"".join((field, _OWNER, size, _AFTER_SIZE[:12], checksum, _AFTER_SIZE[20:], _TAIL))


def parse_header(block: bytes, *, check: bool = True) -> Header:
    """Return what a header of 512 bytes says.

    Raises:
        MalformedError: with `check`, its checksum is wrong; it is none of a regular file, or of one with another name
            than samples have.
    """
    text, size, stored, kind, magic = _FIELDS.unpack(block)
    if check:
        # The checksum is the sum of all bytes, its own taken for spaces. Adler-32's low half is that sum and 1, modulo
        # 65,521, which no header of a sample reaches: a hundredth of the time of adding up in Python.
        found = ((zlib.adler32(block) & 0xFFFF) - 1 - sum(stored) + 8 * 0x20) % 65521
        if _parse_octal(stored) != found:
            raise MalformedError(
                f"expected a member's header with the checksum {found:o}, got {stored!r}: the file is damaged or no tar"
            )
    if kind not in _REGULAR_KINDS or magic != b"ustar\0":
        raise MalformedError(f"expected a regular file of the ustar format, got {text!r} of kind {kind!r}")
    num_bytes = _parse_octal(size)
    try:
        name = text.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"expected a name in UTF-8, got {text!r}: {error}") from None
    key, dot, extension = name.partition(".")
    if num_bytes < 0 or not dot or not key or "/" in name:
        raise MalformedError(f"expected a member with a name such as train-00000-000000.jpg and a size, got {name!r}")
    return Header(key, extension, num_bytes)


def _parse_octal(field: bytes) -> int:
    """Return the number in a field, or -1 where there is none."""
    digits = field.rstrip(b" \0")
    try:
        return int(digits, 8) if digits.isdigit() else -1
    except ValueError:
        return -1


def padded(num_bytes: int) -> int:
    """Return the size of so much content with its padding."""
    return -(-num_bytes // BLOCK_BYTES) * BLOCK_BYTES


class _Walk:
    """Walks over members in a chunk and what follows it, and knows where the record began that it is in."""

    def __init__(self, chunk: Chunk, more: More, check: bool) -> None:
        self._view = memoryview(chunk)
        self._more = more
        self._check = check
        self._start = 0
        self._stop = 0
        self.key = ""
        self._extensions: set[str] = set()
        self.offset_bytes = 0
        """Of the record, in the file."""
        self.num_bytes = 0
        """Of the members that were walked over, or of zeros."""

    def next_block(self) -> memoryview:
        """Return the block after what was walked over, cut short or empty at the end of the file."""
        self._need(BLOCK_BYTES)
        return self._view[self._stop : self._stop + BLOCK_BYTES]

    def step(self, header: Header) -> None:
        """Walk over a member. Raises MalformedError where it is cut short, or its padding holds something."""
        num_bytes = BLOCK_BYTES + padded(header.num_bytes)
        self._need(num_bytes)
        if len(self._view) - self._stop < num_bytes:
            raise MalformedError(
                f"expected {header.num_bytes:,} bytes of {header.key}.{header.extension} and their padding, got "
                f"{len(self._view) - self._stop - BLOCK_BYTES:,} bytes: the file is cut short"
            )
        padding = self._view[self._stop + BLOCK_BYTES + header.num_bytes : self._stop + num_bytes]
        self._add_extension(header)
        if self._check and padding != _ZERO_BLOCK[: len(padding)]:
            raise MalformedError(f"expected zeros as padding of {header.key}.{header.extension}: the file is damaged")
        self._walked(num_bytes)

    def _add_extension(self, header: Header) -> None:
        if header.key != self.key:
            self.key, self._extensions = header.key, set()
        if header.extension in self._extensions:
            raise MalformedError(f"expected each member once, got {header.key}.{header.extension} a second time")
        self._extensions.add(header.extension)

    def step_over_zeros(self) -> None:
        self._walked(BLOCK_BYTES)

    def take(self) -> memoryview:
        """Return what was walked over, and begin the next record behind it."""
        content = self._view[self._start : self._stop]
        self.offset_bytes += self.num_bytes
        self.num_bytes, self._start, self.key = 0, self._stop, ""
        return content

    def _walked(self, num_bytes: int) -> None:
        self._stop += num_bytes
        self.num_bytes += num_bytes

    def _need(self, num_bytes: int) -> None:
        """Have so many bytes behind what was walked over, or as many as there are."""
        if len(self._view) - self._stop < num_bytes:
            wanted = max(self.num_bytes + num_bytes, _AHEAD_BYTES)
            self._view = memoryview(self._more(self._view[self._start :], wanted))
            self._start, self._stop = 0, self.num_bytes


def _iter_records(chunk: Chunk, more: More, *, name: str, check: bool) -> Iterator[Record]:
    """Yield the records of one shard or several.

    Raises:
        CorruptRecordError: a header is damaged, or a member or the mark at the end is cut short.
    """
    walk, index, num_zeros = _Walk(chunk, more, check), 0, MARK_BYTES
    try:
        while block := walk.next_block():
            is_zeros = block == _ZERO_BLOCK
            header = None if is_zeros or len(block) < BLOCK_BYTES else parse_header(bytes(block))
            if walk.key and (is_zeros or (header is not None and header.key != walk.key)):
                offset_bytes, num_bytes = walk.offset_bytes, walk.num_bytes
                yield Record(index, offset_bytes, num_bytes, walk.take())
                index += 1
            if is_zeros:
                num_zeros += BLOCK_BYTES
                walk.step_over_zeros()
                walk.take()
            elif header is None:
                raise MalformedError(
                    f"expected a block of {BLOCK_BYTES} bytes, got {len(block)}: the file is cut short"
                )
            else:
                num_zeros = 0
                walk.step(header)
        if num_zeros < MARK_BYTES:
            raise MalformedError(f"expected {MARK_BYTES:,} zeros as its end, got {num_zeros}: the file is cut short")
    except MalformedError as error:
        raise CorruptRecordError(name, index, walk.offset_bytes, str(error)) from None


def _split_record(record: bytes | memoryview, *, check: bool) -> Members:
    """Return the members of one record. Raises MalformedError unless it is one record and nothing else."""
    view, at, key, members = memoryview(record), 0, "", {}
    while at < len(view):
        block = view[at : at + BLOCK_BYTES]
        if len(block) < BLOCK_BYTES:
            raise MalformedError(f"expected a block of {BLOCK_BYTES} bytes, got {len(block)}: the record is cut short")
        header = parse_header(bytes(block), check=check)
        start, at = at + BLOCK_BYTES, at + BLOCK_BYTES + padded(header.num_bytes)
        if at > len(view):
            raise MalformedError(f"expected {header.num_bytes:,} bytes of {header.extension}: the record is cut short")
        if header.key != (key := key or header.key):
            raise MalformedError(f"expected members of one sample, got some of {key} and {header.key}")
        if header.extension in members:
            raise MalformedError(f"expected each member once, got {header.key}.{header.extension} a second time")
        members[header.extension] = view[start : start + header.num_bytes]
    return members


@dataclass(frozen=True, slots=True)
class WebDataset:
    """See Container."""

    name: str = "webdataset"
    suffix: str = ".tar"
    limits: ItemLimits = _LIMITS
    holds_size: bool = True
    holds_columns: bool = True
    holds_pictures: bool = True
    holds_examples: bool = False
    is_streamed: bool = True
    made_by: str = ""
    media_type: str = "application/x-tar"
    mark_bytes: int = MARK_BYTES
    is_padded: bool = True
    side_suffixes: tuple[str, ...] = ()
    index_split: SplitIndexer | None = None

    def record_places(self, index: ShardIndex) -> RecordPlaces:
        return places_between(_parse_index(index), index.num_bytes - MARK_BYTES)

    def open_writer(self, split: str, shard_index: int, schema: RecordSchema = NO_SCHEMA) -> ShardWriter:
        return _Writer(f"{split}-{shard_index:05d}")

    def side_files(self, keys: Sequence[str], labels: Sequence[Label]) -> dict[str, bytes]:
        return {}

    def iter_buffer(self, buffer: memoryview, *, name: str, check: bool = True) -> Iterator[Record]:
        return _iter_records(buffer, no_more, name=name, check=check)

    def iter_stream(self, stream: BinaryIO, *, name: str, check: bool = True) -> Iterator[Record]:
        return _iter_records(b"", more_from_stream(stream), name=name, check=check)

    def decode_sample(
        self, payload: Payload, *, name: str = "", record_index: int = 0, offset_bytes: int = 0
    ) -> Sample:
        assert not isinstance(payload, Sample)
        try:
            return decode_members(_split_record(payload, check=False))
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
            return decode_members(_split_record(record, check=True))
        except MalformedError as error:
            raise CorruptRecordError(name, record_index, offset_bytes, str(error)) from None


def _parse_index(index: ShardIndex) -> Sequence[int]:
    """Return where records begin: at the header before the content of their first member."""
    lines = index.content.decode("utf-8", "replace").split("\n")
    starts = array("q")
    at = len(lines[0]) + 1
    for position, line in enumerate(lines[1:-1]):
        words = line.split(" ")
        if len(words) < 2 or not words[1].isascii() or not words[1].isdigit() or len(words[1]) > 18:
            problem = f"expected extension, offset, size and name of each member, got {line[:80]!r}"
            raise CorruptRecordError(index.name, position, at, problem)
        starts.append(int(words[1]) - BLOCK_BYTES)
        at += len(line) + 1
    return starts


class _Writer:
    """See ShardWriter."""

    def __init__(self, prefix: str) -> None:
        self.num_bytes = MARK_BYTES
        self._prefix = prefix
        self._records: list[Members] = []
        self._buffers: list[bytes | memoryview] = []
        self._index: list[str] = []

    def add(self, sample: Sample, position: int) -> int:
        return self._append(encode_members(sample), position)

    def repeat(self, index: int, position: int) -> int:
        return self._append(self._records[index], position)

    def finish(self) -> list[bytes | memoryview]:
        return [*self._buffers, _MARK]

    def index(self) -> bytes:
        """As DALI's wds2idx writes it: of each record a line of extension, offset, size and name of each member."""
        return "".join((f"v1.2 {len(self._index)}\n", *self._index)).encode()

    def _append(self, members: Members, position: int) -> int:
        start = offset = self.num_bytes - MARK_BYTES
        listed = []
        for extension, content in members.items():
            name = f"{self._prefix}-{position:06d}.{extension}"
            self._buffers += (encode_header(name, len(content)), content, bytes(-len(content) % BLOCK_BYTES))
            listed.append(f"{extension} {offset + BLOCK_BYTES} {len(content)} {name}")
            offset += BLOCK_BYTES + padded(len(content))
        self._records.append(members)
        self._index.append(" ".join(listed) + "\n")
        self.num_bytes = offset + MARK_BYTES
        return offset - start


CONTAINER = WebDataset()
_CONFORMS: Container = CONTAINER
