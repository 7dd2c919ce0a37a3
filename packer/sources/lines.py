"""Line numbers of rows in text files, found by reading the file again once something is wrong.

Slow, plain Python, and only on the way to an error message: the fast readers do not tell lines.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import re
from collections.abc import Iterator
from typing import BinaryIO

from packer.parsing import ParseError, parse_json

MAX_LINE_BYTES = 16 << 20
"""A longer line of a listing is refused, so that a file without line breaks is not held in memory."""


_CR = re.compile(r"(?<=\r)(?!\n)")
"""Behind a carriage return that ends a line by itself, as it did on old Macintoshes."""


class LineFault(Exception):
    """A line that is not read any further; the text names it."""


_FAULTS = (OSError, EOFError, LineFault)
"""What makes a file unreadable as a whole: damaged gzip, a line or a value that is too long."""


def iter_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file with their ends. Raises LineFault for one of more than MAX_LINE_BYTES."""
    number = 1
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise LineFault(f"line {number}: expected at most {MAX_LINE_BYTES:,} bytes, got more")
        yield line
        number += 1


def find_row_lines(path: str, *, delimiter: str | None) -> list[int]:
    """Return the line, from 1, on which each row starts; shorter than the file where reading it fails.

    `delimiter` is that of a CSV file, whose first row is its header; None: every line that is not blank is a row.
    """
    numbers: list[int] = []
    try:
        if delimiter is not None:
            numbers.extend(number for number, _ in _iter_csv_rows(path, delimiter))
            return numbers[1:]
        numbers.extend(number for number, _ in _iter_json_lines(path))
    except _FAULTS:
        pass
    return numbers


def find_csv_fault(path: str, delimiter: str) -> str:
    """Return the first thing wrong in a CSV file, with its line, or nothing."""
    try:
        rows = _iter_csv_rows(path, delimiter)
        _, header = next(rows, (0, []))
        for number, row in rows:
            if len(row) != len(header):
                return f"line {number}: expected {len(header)} values as in the header, got {len(row)}"
    except _FAULTS as error:
        return str(error)
    return ""


def find_json_fault(path: str) -> str:
    """Return the first thing wrong in a JSONL file, with its line, or nothing."""
    kinds: dict[str, tuple[str, int]] = {}
    try:
        for number, line in _iter_json_lines(path):
            fault = _find_line_fault(line, number, kinds)
            if fault:
                return f"line {number}: {fault}"
    except _FAULTS as error:
        return str(error)
    return ""


def _find_line_fault(line: bytes, number: int, kinds: dict[str, tuple[str, int]]) -> str:
    """Return what is wrong with a line; `kinds` gains the kind of each field and the line that first had it."""
    if not _is_utf8(line):
        return "not UTF-8; save the listing as UTF-8"
    try:
        fields = parse_json(line)
    except ParseError as error:
        return f"expected one JSON object, got {_shorten(line)} ({error})"
    if not isinstance(fields, dict):
        return f"expected one JSON object, got {_shorten(line)}"
    for name, value in fields.items():
        kind = _name_kind(value)
        known, first = kinds.setdefault(name, (kind, number)) if kind else ("", 0)
        if known != kind:
            return f"column {name!r} holds {kind}, but {known} on line {first}; expected one kind throughout"
    return ""


def _name_kind(value: object) -> str:
    """Return the JSON kind that a column must keep; empty for null."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if value is None:
        return ""
    return "a list" if isinstance(value, list) else "an object"


def _iter_csv_rows(path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the values of every row that is not blank, the header included."""
    with _open(path) as stream:
        first = stream.read(len(codecs.BOM_UTF8))
        if first != codecs.BOM_UTF8:
            stream.seek(0)
        reader = csv.reader(_iter_texts(stream), delimiter=delimiter)
        start = 1
        try:
            for row in reader:
                if row:
                    yield start, row
                start = reader.line_num + 1
        except csv.Error as error:
            raise LineFault(f"line {start}: {error}; is a quote opened there that is not closed?") from None


def _iter_texts(stream: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(iter_lines(stream), 1):
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise LineFault(f"line {number}: not UTF-8; save the listing as UTF-8") from None
        yield from _CR.split(text) if "\r" in text else (text,)


def _iter_json_lines(path: str) -> Iterator[tuple[int, bytes]]:
    with _open(path) as stream:
        for number, line in enumerate(iter_lines(stream), 1):
            if line.strip():
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _open(path: str) -> BinaryIO:
    return gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shorten(line: bytes) -> str:
    text = line.decode().strip()
    return repr(text if len(text) <= 40 else text[:37] + "...")
