"""Parquet as the Hugging Face Hub has it: a row is a record, its image a struct of bytes and path.

    image struct<bytes, path>    label (none, int64 or list<float>)    key    source_sha256    is_fill
    extra columns and fields under their own names, masks and further images as structs like the image

The format is https://parquet.apache.org/docs/file-format. Values lie column by column, so a record is no run of bytes.
A column of a group of rows is one page of values as they are, neither compressed nor gathered in a dictionary: JPEGs
gain nothing by either, the bytes depend on Arrow's version alone, and a picture is a run of bytes that can be read by
itself. The index says where: a line of the pictures' columns, then for each record offset and size of each picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from packer.errors import CorruptRecordError, EncoderMismatchError, OptionsError
from packer.formats.container import (
    NO_SCHEMA,
    Container,
    ExtraValue,
    ItemLimits,
    Label,
    Payload,
    Picture,
    Record,
    RecordPlaces,
    RecordSchema,
    Sample,
    ShardIndex,
    ShardWriter,
    SplitIndexer,
)
from packer.formats.hub_features import (
    IMAGE,
    IS_FILL,
    KEY,
    LABEL,
    OWN_COLUMNS,
    PLACE_NUMBERS,
    SOURCE_SHA256,
    class_names_in,
    shard_schema,
)
from packer.formats.image_magic import sniff_image_format

_GROUP_ROWS = 100
"""As the Hub advises for images, so that a page of its viewer reads little."""
_GROUP_BYTES = 16_000_000
"""What a reader of one column holds; a group has at least one row."""
_PAGE_BYTES = 1 << 30
"""More than a group has, so that each of its columns is one page."""
_LENGTH_BYTES = 4
"""Stands before each value of bytes (Parquet's encoding PLAIN)."""
_RECORD_BYTES = 120
"""At most: of a record's lengths, levels and numbers, and its part of what Parquet says of a group of rows."""
_FILE_BYTES = 64_000
"""At most: of what a file has beside its records and three times its schema, which holds the names of classes."""
_INDEX_HEAD = "shardpack 1"
_UNREADABLE = (pa.ArrowException, OSError, KeyError, UnicodeDecodeError)
_TAKEN = frozenset(OWN_COLUMNS)


@dataclass(frozen=True, slots=True)
class Parquet:
    """See Container."""

    name: str = "parquet"
    suffix: str = ".parquet"
    limits: ItemLimits = field(default_factory=lambda: ItemLimits(taken_names=_TAKEN))
    holds_size: bool = False
    holds_columns: bool = True
    holds_pictures: bool = True
    holds_examples: bool = False
    is_streamed: bool = False
    made_by: str = f"arrow {pa.cpp_version}"
    media_type: str = "application/vnd.apache.parquet"
    mark_bytes: int = 0
    is_padded: bool = True
    side_suffixes: tuple[str, ...] = ()
    index_split: SplitIndexer | None = None

    def record_places(self, index: ShardIndex) -> RecordPlaces:
        return _parse_index(index)

    def open_writer(self, split: str, shard_index: int, schema: RecordSchema = NO_SCHEMA) -> ShardWriter:
        return _Writer(schema)

    def side_files(self, keys: Sequence[str], labels: Sequence[Label]) -> dict[str, bytes]:
        return {}

    def iter_buffer(self, buffer: memoryview, *, name: str, check: bool = True) -> Iterator[Record]:
        index = 0
        try:
            file = pq.ParquetFile(pa.BufferReader(buffer), page_checksum_verification=check)
            names = class_names_in(file.schema_arrow)
            for group in range(file.metadata.num_row_groups):
                rows = file.read_row_group(group, use_threads=False).to_pylist()
                samples = [_sample(row, names) for row in rows]
                places = _places(file.metadata.row_group(group), samples)[IMAGE]
                for sample, (offset, _) in zip(samples, places, strict=True):
                    yield Record(index, offset, _size_of(sample), sample)
                    index += 1
        except _UNREADABLE as error:
            problem = " ".join(str(error).split())
            raise CorruptRecordError(
                name, index, 0, f"the file is damaged, cut short or no shard in Parquet: {problem}"
            ) from None

    def iter_stream(self, stream: BinaryIO, *, name: str, check: bool = True) -> Iterator[Record]:
        """Read one file whole, since Parquet is read from its end."""
        data = b"".join(iter(lambda: stream.read(1 << 20), b""))
        return self.iter_buffer(memoryview(data), name=name, check=check)

    def decode_sample(
        self, payload: Payload, *, name: str = "", record_index: int = 0, offset_bytes: int = 0
    ) -> Sample:
        assert isinstance(payload, Sample)
        return payload

    def decode_record(
        self,
        record: bytes | memoryview,
        *,
        pictures: Mapping[str, bytes] | None = None,
        name: str = "",
        record_index: int = 0,
        offset_bytes: int = 0,
    ) -> Sample:
        encoded = bytes(record)
        if not encoded:
            raise CorruptRecordError(name, record_index, offset_bytes, "expected an image, got 0 bytes")
        found = {name: Picture(data, sniff_image_format(data)) for name, data in (pictures or {}).items()}
        return Sample(key="", encoded=encoded, image_format=sniff_image_format(encoded), pictures=found)


def _size_of(sample: Sample) -> int:
    """Return how many bytes a record takes, or some more."""
    files = [sample.encoded, *(picture.encoded for picture in sample.pictures.values())]
    texts = [sample.key, sample.key, sample.source_sha256]
    values = [*texts, *sample.extras.values(), sample.label if isinstance(sample.label, tuple) else 0]
    return _RECORD_BYTES + sum(map(len, files)) + sum(map(_num_bytes, values))


def _num_bytes(value: ExtraValue) -> int:
    if isinstance(value, tuple):
        return sum(_num_bytes(one) for one in value)
    if isinstance(value, str):
        return _LENGTH_BYTES + len(value.encode())
    return _LENGTH_BYTES + len(value) if isinstance(value, bytes) else 8


def _sample(row: Mapping[str, Any], class_names: Sequence[str]) -> Sample:
    """Return the sample of a row. Raises KeyError or OSError where it is none."""
    encoded, label = (row[IMAGE] or {}).get("bytes"), row.get(LABEL)
    if not encoded:
        raise OSError(f"expected an image in the row of {row[KEY]}, got none")
    others = {name: value for name, value in row.items() if name not in OWN_COLUMNS and value is not None}
    pictures = {name: value["bytes"] for name, value in others.items() if isinstance(value, dict)}
    class_id = label if isinstance(label, int) else -1
    return Sample(
        key=row[KEY],
        encoded=encoded,
        image_format=sniff_image_format(encoded),
        label=tuple(label) if isinstance(label, list) else label,
        class_text=class_names[class_id] if 0 <= class_id < len(class_names) else "",
        source_sha256=row[SOURCE_SHA256],
        extras={name: _flat(value) for name, value in others.items() if name not in pictures},
        pictures={name: Picture(data, sniff_image_format(data)) for name, data in pictures.items()},
    )


def _flat(value: Any) -> ExtraValue:
    """Return a value; of places, all their numbers."""
    if not isinstance(value, list):
        return value  # type: ignore[no-any-return]
    return tuple(number for one in value for number in (one if isinstance(one, list) else (one,)))


def _places(group: Any, samples: Sequence[Sample]) -> dict[str, list[tuple[int, int]]]:
    """Return offset and size of the pictures of a group of rows, by column.

    A column of a group is one page (`_PAGE_BYTES`), whose values are at its end. Raises KeyError without the column.
    """
    chunks = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    found = {}
    for name in (IMAGE, *sorted(samples[0].pictures if samples else ())):
        sizes = [len(sample.encoded if name == IMAGE else sample.pictures[name].encoded) for sample in samples]
        chunk, ends = chunks[f"{name}.bytes"], list(accumulate(_LENGTH_BYTES + size for size in sizes))
        start = chunk.data_page_offset + chunk.total_compressed_size - (ends[-1] if ends else 0)
        found[name] = [(start + end - size, size) for end, size in zip(ends, sizes, strict=True)]
    return found


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 19


def _parse_index(index: ShardIndex) -> RecordPlaces:
    head, _, rest = index.content.decode("utf-8", "replace").partition("\n")
    version, names = " ".join(head.split(" ")[:2]), head.split(" ")[2:]
    numbers: list[list[int]] = []
    at = len(head) + 1
    for position, line in enumerate(rest.splitlines()):
        words = line.split(" ")
        if version != _INDEX_HEAD or len(words) != 2 * len(names) or not all(map(_is_number, words)):
            problem = f"expected offset and size of {', '.join(names) or 'an image'}, got {line[:80]!r}"
            raise CorruptRecordError(index.name, position, at, problem)
        numbers.append(list(map(int, words)))
        at += len(line) + 1
    if version != _INDEX_HEAD or names[:1] != [IMAGE]:
        raise CorruptRecordError(index.name, 0, 0, f"expected {_INDEX_HEAD} {IMAGE}, got {head[:80]!r}")
    image, *pictures = (
        RecordPlaces(
            offsets_bytes=[line[2 * number] for line in numbers],
            sizes_bytes=[line[2 * number + 1] for line in numbers],
        )
        for number in range(len(names))
    )
    return RecordPlaces(
        offsets_bytes=image.offsets_bytes,
        sizes_bytes=image.sizes_bytes,
        pictures=dict(zip(names[1:], pictures, strict=True)),
    )


class _Writer:
    """See ShardWriter."""

    def __init__(self, schema: RecordSchema) -> None:
        self._schema = schema
        self._columns = shard_schema(schema)
        self.num_bytes = _FILE_BYTES + 3 * int(self._columns.serialize().size)
        self._samples: list[Sample] = []
        self._first_fill: int | None = None
        self._sizes_bytes: list[int] = []
        self._places: dict[str, list[tuple[int, int]]] = {}

    def add(self, sample: Sample, position: int) -> int:
        if not _TAKEN.isdisjoint(sample.extras) or not _TAKEN.isdisjoint(sample.pictures):
            raise OptionsError(f"{sample.key}: expected other columns than {', '.join(OWN_COLUMNS)}; rename them")
        return self._append(sample)

    def repeat(self, index: int, position: int) -> int:
        self._first_fill = position if self._first_fill is None else self._first_fill
        return self._append(self._samples[index])

    def finish(self) -> list[bytes | memoryview]:
        schema, sink, groups = self._columns, pa.BufferOutputStream(), self._groups()
        scalars = [column.name for column in schema if not pa.types.is_nested(column.type)]
        with pq.ParquetWriter(
            sink,
            schema,
            version="2.6",
            compression="none",
            use_dictionary=False,
            write_statistics=scalars,
            data_page_size=_PAGE_BYTES,
            data_page_version="1.0",
            write_batch_size=_GROUP_ROWS,
            write_page_checksum=True,
        ) as writer:
            for group in groups:
                writer.write_table(self._table(group), row_group_size=len(group))
        data = memoryview(sink.getvalue()).cast("B")
        metadata = pq.ParquetFile(pa.BufferReader(data)).metadata
        self._places = {IMAGE: []}
        for number, group in enumerate(groups):
            places = _places(metadata.row_group(number), self._samples[group.start : group.stop])
            for name, found in places.items():
                self._places.setdefault(name, []).extend(found)
        self._check_places(data)
        self.num_bytes = len(data)
        return [data]

    def _check_places(self, data: memoryview) -> None:
        """Readers find pictures by the index alone, and another release of Arrow may lay out a page another way."""
        for name, places in self._places.items():
            for sample, (offset, size) in zip(self._samples, places, strict=True):
                expected = sample.encoded if name == IMAGE else sample.pictures[name].encoded
                if data[offset : offset + size] != expected:
                    raise EncoderMismatchError(
                        f"{sample.key}: expected its {name} at byte {offset:,} of the shard, found other bytes: "
                        f"{CONTAINER.made_by} lays out Parquet in a way that is not known here; pack with another "
                        "release of pyarrow, or with `format=tfrecord`"
                    )

    def index(self) -> bytes:
        names = list(self._places)
        lines = zip(*self._places.values(), strict=True)
        rows = (" ".join(f"{offset} {size}" for offset, size in line) + "\n" for line in lines)
        return "".join((f"{_INDEX_HEAD} {' '.join(names)}\n", *rows)).encode()

    def _append(self, sample: Sample) -> int:
        size = _size_of(sample)
        self._samples.append(sample)
        self._sizes_bytes.append(size)
        self.num_bytes += size
        return size

    def _groups(self) -> list[range]:
        """Return the rows of each group."""
        groups, start, num_bytes = [], 0, 0
        for row, size in enumerate(self._sizes_bytes):
            if row > start and (row - start >= _GROUP_ROWS or num_bytes + size > _GROUP_BYTES):
                groups.append(range(start, row))
                start, num_bytes = row, 0
            num_bytes += size
        return [*groups, range(start, len(self._samples))] if self._samples else []

    def _table(self, rows: range) -> pa.Table:
        samples = self._samples[rows.start : rows.stop]
        first_fill = len(self._samples) if self._first_fill is None else self._first_fill
        own: dict[str, list[Any]] = {
            IMAGE: [{"bytes": sample.encoded, "path": sample.key} for sample in samples],
            LABEL: [sample.label for sample in samples],
            KEY: [sample.key for sample in samples],
            SOURCE_SHA256: [sample.source_sha256 for sample in samples],
            IS_FILL: [row >= first_fill for row in rows],
        }
        numbers = {spec.name: PLACE_NUMBERS[spec.kind] for spec in self._schema.fields if spec.kind in PLACE_NUMBERS}
        pictures = {spec.name for spec in self._schema.fields if spec.is_picture}
        columns = []
        for column in self._columns:
            name = column.name
            if name in own:
                values = own[name]
            elif name in pictures:
                values = [{"bytes": sample.pictures[name].encoded, "path": None} for sample in samples]
            else:
                values = [_cell(sample.extras.get(name), numbers.get(name, 0)) for sample in samples]
            columns.append(pa.array(values, column.type))
        return pa.table(columns, schema=self._columns)


def _cell(value: Any, count: int) -> Any:
    """Return a value as its column holds it: places as lists of `count` numbers each."""
    if value is None or not count:
        return value
    return [value[start : start + count] for start in range(0, len(value), count)]


CONTAINER = Parquet()
_CONFORMS: Container = CONTAINER
