"""Keeps JSON Lines that are nested too deeply from Arrow, whose parser recurses until the process dies."""

from __future__ import annotations

import re
from typing import BinaryIO

from packer.parsing import MAX_DEPTH, ParseError

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_PEELED_LEVELS = 8
"""Real lines are flatter than this, and are told by removing pairs of brackets, at 0.8 ns a byte."""


class DepthCheckedFile:
    """A file of JSON Lines of which no line that is nested deeper than MAX_DEPTH is read to its end."""

    closed = False

    def __init__(self, file: BinaryIO, *, max_line_bytes: int) -> None:
        self._file = file
        self._max_line_bytes = max_line_bytes
        self._num_lines = 0
        self._last_line = b""
        """What was read of the line that is not complete yet."""

    def read(self, num_bytes: int = -1) -> bytes:
        """Return up to `num_bytes` bytes. Raises ParseError for a line that is too deep or too long."""
        data = self._file.read(num_bytes)
        seen = self._last_line + data
        if not _is_flat(seen):
            self._check_lines(seen)
        self._num_lines += data.count(b"\n")
        self._last_line = seen[seen.rfind(b"\n") + 1 :]
        if len(self._last_line) > self._max_line_bytes:
            raise ParseError(f"line {self._num_lines + 1}: expected at most {self._max_line_bytes:,} bytes, got more")
        return data

    def _check_lines(self, seen: bytes) -> None:
        for number, line in enumerate(seen.split(b"\n"), self._num_lines + 1):
            if is_too_deep(line):
                raise ParseError(f"line {number}: lists or objects are nested deeper than {MAX_DEPTH} levels")


def is_too_deep(line: bytes) -> bool:
    """Say whether lists and objects lie deeper in each other than MAX_DEPTH, in a line of JSON or of anything else."""
    if line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _TEXT.sub(b"", line).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _is_flat(lines: bytes) -> bool:
    """Say whether no line can be too deep, by its brackets alone, those in texts too; False means that it may be."""
    brackets = lines.translate(None, _NO_BRACKETS)
    for _ in range(_PEELED_LEVELS):
        if len(brackets) <= MAX_DEPTH - _PEELED_LEVELS:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return False
