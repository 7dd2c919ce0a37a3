"""The code blocks of a Markdown page, as what they are: commands, Python, or text to look at.

A block that no test can run has ``<!-- needs AWS -->`` on the line before it, or another word for what it needs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?:^<!-- needs ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HERE_DOCUMENT = re.compile(r"<<'?(\w+)'?")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block."""

    language: str
    needs: str
    """What it needs that a test has not; empty where it can be run."""
    line: int
    """Of the page, where its first line stands, from 1."""
    text: str

    @property
    def is_shell(self) -> bool:
        return self.language in ("bash", "sh")


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[2], match[1] or "", text.count("\n", 0, match.start(3)) + 1, match[3])
        for match in _BLOCK.finditer(text)
    ]


def split_commands(text: str) -> Iterator[str]:
    """Yield the commands of a block: continued lines, open quotes and here-documents as one."""
    waiting: list[str] = []
    end = None
    for line in text.splitlines():
        waiting.append(line)
        joined = "\n".join(waiting)
        if end is None and (found := _HERE_DOCUMENT.search(line)):
            end = found[1]
            continue
        if end is not None:
            if line != end:
                continue
        elif line.endswith("\\") or _is_open(joined):
            continue
        waiting, end = [], None
        if joined.strip() and not joined.lstrip().startswith("#"):
            yield joined
    assert not waiting, f"a command without an end: {waiting}"


def words_of(command: str) -> list[str]:
    """Return the words of a command as a shell reads them, without comments and line ends."""
    return [word for word in shlex.split(command.replace("\\\n", " "), comments=True) if word != "\n"]


def _is_open(text: str) -> bool:
    try:
        shlex.split(text.replace("\\\n", " "), comments=True)
    except ValueError:
        return True
    return False
