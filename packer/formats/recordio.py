"""MXNet (dmlc) RecordIO framing. All numbers are little-endian; files concatenate; there are no checksums.

    | uint32 magic 0xced7230a | uint32 cflag << 29 | length | part | zeros up to a multiple of 4 |

A payload is one part (cflag 0), unless the four bytes of the magic stand in it at an offset that is a multiple of 4:
there it is cut, the magic left out, into a first (1), middle (2) and last (3) part, and the reader puts the magic
back. Thus an aligned magic in a file is always the start of a part.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from packer.errors import CorruptRecordError, OptionsError
from packer.formats.container import ItemLimits, Label, Record, ShardIndex
from packer.formats.framed_container import FramedContainer
from packer.formats.framing import Chunk, MalformedError, More, Take, create_take
from packer.formats.index import (
    UNLISTABLE_PATH,
    ListEntry,
    RecordSpans,
    format_list,
    format_mxnet_index,
    iter_merged,
    parse_mxnet_index,
    spans_of,
)
from packer.formats.irheader import MAX_CLASS_ID, decode_image_record, encode_image_record

MAGIC = bytes.fromhex("0a23d7ce")
MAX_PAYLOAD_BYTES = (1 << 29) - 1
"""The length field has 29 bits, and dmlc refuses longer payloads even where they would be cut."""

_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_HEADER = struct.Struct("<4sI")
_WORD = np.dtype("<u4")
_MAGIC_WORD = np.uint32(0xCED7230A)
_ZEROS = (b"", b"\0", b"\0\0", b"\0\0\0")


def frame_record(payload: bytes) -> list[bytes]:
    """Return the framed record as buffers; a payload without an aligned magic is passed on as the same object.

    Raises:
        OptionsError: the payload is longer than MAX_PAYLOAD_BYTES.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise OptionsError(
            f"a RecordIO record holds at most {MAX_PAYLOAD_BYTES:,} bytes, got {len(payload):,}: "
            "use `format=tfrecord` or smaller images"
        )
    cuts = _aligned_magics(payload)
    if not cuts:
        return _frame_part(_WHOLE, payload)
    starts = [0, *(cut + 4 for cut in cuts)]
    stops = [*cuts, len(payload)]
    flags = [_FIRST, *[_MIDDLE] * (len(cuts) - 1), _LAST]
    buffers: list[bytes] = []
    for cflag, start, stop in zip(flags, starts, stops, strict=True):
        buffers += _frame_part(cflag, payload[start:stop])
    return buffers


def _aligned_magics(payload: bytes) -> list[int]:
    """Return the offsets, all multiples of 4, at which the magic stands."""
    words = np.frombuffer(payload, _WORD, len(payload) // 4)  # a fifth of the time of bytes.find
    return [4 * int(index) for index in (words == _MAGIC_WORD).nonzero()[0]]


def _frame_part(cflag: int, part: bytes) -> list[bytes]:
    header = _HEADER.pack(MAGIC, cflag << 29 | len(part))
    return [header, part, _ZEROS[-len(part) % 4]] if len(part) % 4 else [header, part]


def iter_records(chunk: Chunk, more: More, *, name: str, check: bool) -> Iterator[Record]:
    """Yield the records of `chunk` and what follows it, to the end.

    `check` also demands that the padding is zeros, the only redundancy there is. A payload of several parts is joined,
    every other one is a view.

    Raises:
        CorruptRecordError: a piece is cut short, a magic is missing, or parts come in an impossible order or size.
    """
    take = create_take(chunk, more)
    index = offset_bytes = 0
    try:
        while header := take(8):
            payload, num_bytes = _read_record(take, header, check)
            yield Record(index, offset_bytes, num_bytes, payload)
            index += 1
            offset_bytes += num_bytes
    except MalformedError as error:
        raise CorruptRecordError(name, index, offset_bytes, str(error)) from None


def _read_record(take: Take, header: bytes | memoryview, check: bool) -> tuple[bytes | memoryview, int]:
    """Return the payload behind the header of its first part, and its framed size in bytes."""
    cflag, part = _read_part(take, header, check)
    if cflag == _WHOLE:
        return part, 8 + len(part) + -len(part) % 4
    if cflag != _FIRST:
        raise MalformedError(f"expected a whole record or a first part (cflag 0 or 1), got cflag {cflag}")
    parts = [part, *_iter_further_parts(take, check, num_bytes=len(part))]
    return MAGIC.join(parts), sum(8 + len(part) + -len(part) % 4 for part in parts)


def _iter_further_parts(take: Take, check: bool, *, num_bytes: int) -> Iterator[bytes | memoryview]:
    """Yield the parts after a first one of `num_bytes`. Raises MalformedError, also before they outgrow a payload."""
    cflag = _FIRST
    while cflag != _LAST:
        cflag, part = _read_part(take, take(8), check)
        if cflag not in (_MIDDLE, _LAST):
            raise MalformedError(f"expected a middle or last part (cflag 2 or 3) after a first one, got cflag {cflag}")
        num_bytes += len(MAGIC) + len(part)
        if num_bytes > MAX_PAYLOAD_BYTES:
            raise MalformedError(f"expected a payload of at most {MAX_PAYLOAD_BYTES:,} bytes, got more")
        yield part


def _read_part(take: Take, header: bytes | memoryview, check: bool) -> tuple[int, bytes | memoryview]:
    if len(header) < 8:
        raise MalformedError(f"expected a part's header of 8 bytes, got {len(header)}: the file is cut short")
    magic, lrec = _HEADER.unpack(header)
    if magic != MAGIC:
        raise MalformedError(
            f"expected the magic {MAGIC.hex()}, got {magic.hex()}: the file is damaged or not a RecordIO file"
        )
    length = lrec & MAX_PAYLOAD_BYTES
    part = take(length)
    padding = take(-length % 4)
    if len(part) + len(padding) < length + -length % 4:
        raise MalformedError(
            f"expected a part of {length:,} bytes and {-length % 4} of padding, "
            f"got {len(part) + len(padding):,} bytes: the file is cut short"
        )
    if check and padding != _ZEROS[len(padding)]:
        raise MalformedError(f"expected zeros as padding, got {padding.hex()}: the file is damaged")
    return lrec >> 29, part


def _format_index(sizes_bytes: Sequence[int]) -> bytes:
    return format_mxnet_index(spans_of(sizes_bytes).offsets_bytes).encode()


def _side_files(keys: Sequence[str], labels: Sequence[Label]) -> dict[str, bytes]:
    """Return MXNet's list of images; no label is written as -1."""
    entries = (
        ListEntry(index=index, labels=_list_labels(label), path=key)
        for index, (key, label) in enumerate(zip(keys, labels, strict=True))
    )
    return {".lst": format_list(entries).encode()}


def _list_labels(label: Label) -> tuple[float, ...]:
    if label is None:
        return (-1.0,)
    return label if isinstance(label, tuple) else (float(label),)


def _index_split(shards: Iterable[ShardIndex]) -> Iterator[bytes]:
    """Yield DALI's index over all shards, made of MXNet's of each. Raises CorruptRecordError or UnicodeDecodeError."""
    return (text.encode() for text in iter_merged(map(_spans_in, shards)))


def _spans_in(shard: ShardIndex) -> RecordSpans:
    offsets = parse_mxnet_index(shard.content.decode(), name=shard.name).offsets_bytes
    stops = [*offsets[1:], shard.num_bytes]
    sizes = array("q", (stop - start for start, stop in zip(offsets, stops, strict=len(offsets) > 0)))
    return RecordSpans(offsets_bytes=offsets, sizes_bytes=sizes)


def _parse_index(text: str, name: str) -> Sequence[int]:
    return parse_mxnet_index(text, name=name).offsets_bytes


CONTAINER = FramedContainer(
    name="recordio",
    suffix=".rec",
    frame=frame_record,
    iter_records=iter_records,
    encode_sample=encode_image_record,
    parse_payload=decode_image_record,
    format_index=_format_index,
    parse_index=_parse_index,
    limits=ItemLimits(
        unfit_key=UNLISTABLE_PATH,
        key_rule=(
            "expected no tabs, line breaks and outer spaces, for the .lst file beside a shard; rename the files, or "
            "use `format=tfrecord`"
        ),
        class_ids=range(MAX_CLASS_ID + 1),
        class_rule=(
            f"expected 0 to {MAX_CLASS_ID}; number the classes from 0, or use `format=tfrecord`, whose labels are no "
            "float32"
        ),
    ),
    holds_size=False,
    holds_columns=False,
    holds_pictures=False,
    side_suffixes=(".lst",),
    index_split=_index_split,
    make_side_files=_side_files,
)
