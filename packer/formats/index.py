"""Index files beside shards, as NVIDIA DALI and MXNet read and write them, and MXNet's image lists.

    DALI, TFRecord     offset size               one file per shard; size is the framed size in bytes
    MXNet .idx         position <tab> offset     one file per shard; a repeated position makes MXNet misread
    DALI, RecordIO     position <tab> offset     one file per list of shards; offsets into their concatenation
    MXNet .lst         index <tab> label [<tab> label ...] <tab> relative/path

Every line ends with a line feed. Offsets are those of record headers, in bytes from 0.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from packer.errors import CorruptRecordError, OptionsError, SourceError

_BREAKS = "\n\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029"
"""Where Python, and with it im2rec, ends a line of text."""
_SPACES = _BREAKS + "\t\x1f \xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
UNLISTABLE_PATH = f"^$|^[{_SPACES}]|[{_SPACES}]$|[\t{_BREAKS}]"
"""Regular expression of paths that an image list cannot hold, for Python's `re` and Arrow's RE2 alike."""
_MAX_INDEX_DIGITS = 4000
_UNLISTABLE = re.compile(UNLISTABLE_PATH)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSpans:
    """Records of one file in order; record i is at ``[offsets_bytes[i], offsets_bytes[i] + sizes_bytes[i])``."""

    offsets_bytes: Sequence[int]
    sizes_bytes: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedOffsets:
    """Entries of an MXNet index in the file's order."""

    keys: Sequence[int]
    offsets_bytes: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntry:
    """One line of an MXNet image list."""

    index: int
    labels: tuple[float, ...]
    path: str
    """Relative to the root that the reader is given."""


def spans_of(sizes_bytes: Sequence[int]) -> RecordSpans:
    """Return where records of these sizes lie in a file that holds nothing else."""
    return RecordSpans(offsets_bytes=[0, *accumulate(sizes_bytes)][:-1], sizes_bytes=sizes_bytes)


def format_dali_index(spans: RecordSpans) -> str:
    """Return DALI's index of one TFRecord file."""
    pairs = zip(spans.offsets_bytes, spans.sizes_bytes, strict=True)
    return "".join(f"{offset} {size}\n" for offset, size in pairs)


def parse_dali_index(text: str, *, name: str) -> RecordSpans:
    """Parse what `format_dali_index` or DALI's tfrecord2idx wrote.

    Raises:
        CorruptRecordError: a line is not two numbers, or its record does not start where the one before ends.
    """
    offsets, sizes = array("q"), array("q")
    end = 0
    for line in _iter_lines(text, name):
        offset, size = line.parse_pair("offset size")
        if offset != end or size < 1:
            raise line.error(f"expected a record of at least 1 byte at offset {end}, got {offset} {size}")
        end = offset + size
        offsets.append(offset)
        sizes.append(size)
    return RecordSpans(offsets_bytes=offsets, sizes_bytes=sizes)


def format_mxnet_index(offsets_bytes: Sequence[int]) -> str:
    """Return MXNet's index of one RecordIO file, keyed by position."""
    return "".join(f"{position}\t{offset}\n" for position, offset in enumerate(offsets_bytes))


def iter_merged(shards: Iterable[RecordSpans]) -> Iterator[str]:
    """Yield each file's part of DALI's one index of several RecordIO files, in the order of the list.

    Each file must be wholly covered by its spans.
    """
    first = start = 0
    for shard in shards:
        if shard.offsets_bytes:
            lines = enumerate(shard.offsets_bytes, first)
            yield "".join(f"{position}\t{start + offset}\n" for position, offset in lines)
            first += len(shard.offsets_bytes)
            start += shard.offsets_bytes[-1] + shard.sizes_bytes[-1]


def parse_mxnet_index(text: str, *, name: str) -> KeyedOffsets:
    """Parse an MXNet index or a merged DALI one; keys may be any distinct numbers, in any order.

    Raises:
        CorruptRecordError: a line is not two numbers, or repeats the key of an earlier line.
    """
    keys, offsets = array("q"), array("q")
    seen: set[int] = set()
    for line in _iter_lines(text, name):
        key, offset = line.parse_pair("key offset")
        if key in seen:
            raise line.error(f"expected each key once, got {key} again")
        seen.add(key)
        keys.append(key)
        offsets.append(offset)
    return KeyedOffsets(keys=keys, offsets_bytes=offsets)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of an index file."""

    name: str
    position: int
    offset_bytes: int
    text: str

    def parse_pair(self, meaning: str) -> tuple[int, int]:
        """Return two non-negative numbers below 2**63."""
        words = self.text.split()
        if len(words) != 2 or not all(w.isascii() and w.isdigit() and len(w) < 19 for w in words):
            raise self.error(f"expected two numbers ({meaning}), got {self.text[:80]!r}")
        return int(words[0]), int(words[1])

    def error(self, problem: str) -> CorruptRecordError:
        return CorruptRecordError(self.name, self.position, self.offset_bytes, f"line {self.position + 1}: {problem}")


def _iter_lines(text: str, name: str) -> Iterator[_Line]:
    offset_bytes = 0
    for position, line in enumerate(text.splitlines(keepends=True)):
        yield _Line(name, position, offset_bytes, line.rstrip("\r\n"))
        offset_bytes += len(line.encode())


def format_list(entries: Iterable[ListEntry]) -> str:
    """Return an image list with labels as im2rec writes them: six decimals, or as many as the value needs.

    Raises:
        OptionsError: an entry without a label, or whose path is empty or has a tab, a line break or outer spaces.
    """
    return "".join(map(_format_entry, entries))


def _format_entry(entry: ListEntry) -> str:
    if _UNLISTABLE.search(entry.path):
        raise OptionsError(
            f"{entry.path!r}: expected a path without tabs, line breaks and outer spaces for a .lst file"
        )
    if not entry.labels:
        raise OptionsError(f"{entry.path!r}: expected at least one label for a .lst file, got none")
    labels = "\t".join(map(_format_label, entry.labels))
    return f"{entry.index}\t{labels}\t{entry.path}\n"


def _format_label(label: float) -> str:
    text = f"{label:f}"
    return text if float(text) == label else repr(float(label))


def parse_list(text: str, *, name: str) -> tuple[ListEntry, ...]:
    """Parse an image list; empty lines are skipped, as im2rec does.

    Raises:
        SourceError: a line lacks index, label or path, or one of the first two is not a number; it names file and line.
    """
    return tuple(
        _parse_entry(line, f"{name}: line {number}")
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    )


def _parse_entry(line: str, where: str) -> ListEntry:
    words = [word.strip() for word in line.strip().split("\t")]
    if len(words) < 3 or not words[-1]:
        raise SourceError(f"{where}: expected index, label and path between tabs, got {line[:80]!r}")
    try:
        if len(words[0]) > _MAX_INDEX_DIGITS:
            raise ValueError(f"the number {words[0][:24]}... has more than {_MAX_INDEX_DIGITS:,} digits")
        return ListEntry(index=int(words[0]), labels=tuple(map(float, words[1:-1])), path=words[-1])
    except ValueError as error:
        raise SourceError(f"{where}: expected a whole number and labels before the path: {error}") from None
