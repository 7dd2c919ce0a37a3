"""Progress on a terminal: one line that is drawn anew, with a bar where there is room for one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from packer.cli.phase_text import PhaseState, describe_phase
from packer.cli.plain_progress import PlainProgress
from packer.cli.shown_line import say_line
from packer.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar

_WIDTH_WITH_BAR = 100
"""Columns of a terminal from which on a bar stands behind the words."""


def create_progress() -> Progress:
    """Return what suits standard error."""
    return TerminalProgress() if sys.stderr.isatty() else PlainProgress(say_line)


class TerminalProgress:
    """Draws a line for each phase that fits the terminal, whatever its width."""

    def __init__(self) -> None:
        self._bar: RichBar | None = None
        self._name = ""
        self._total: int | None = None
        self._started = 0.0
        self._state = PhaseState()

    @contextmanager
    def phase(self, name: str, *, total: int | None) -> Iterator[None]:
        """See `Progress.phase`."""
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, TextColumn
        from rich.progress import Progress as RichBar

        self._name, self._total, self._state = name, total, PhaseState()
        self._started = time.monotonic()
        console = Console(stderr=True)
        columns: list[ProgressColumn] = [TextColumn("{task.fields[line]}", markup=False)]
        if console.width >= _WIDTH_WITH_BAR:
            columns.append(BarColumn(bar_width=20))
        with RichBar(*columns, console=console) as self._bar:
            self._bar.add_task(name, total=total, line=self._line())
            yield
            self._draw()
        self._bar = None

    def advance(self, num_items: int, num_bytes: int) -> None:
        """See `Progress.advance`."""
        self._add(PhaseState(num_items=num_items, num_bytes=num_bytes))

    def reuse(self, num_items: int) -> None:
        """See `Progress.reuse`."""
        self._add(PhaseState(num_reused=num_items))

    def reject(self, num_items: int) -> None:
        """See `Progress.reject`."""
        self._add(PhaseState(num_rejects=num_items))

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        say_line(text)

    def _add(self, more: PhaseState) -> None:
        self._state = self._state.plus(more)
        self._draw()

    def _draw(self) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._state.num_done, line=self._line())

    def _line(self) -> str:
        width = self._bar.console.width - len(self._name) - 3 if self._bar is not None else 1
        if width >= _WIDTH_WITH_BAR - len(self._name) - 3:
            width -= 21
        return f"{self._name}: {describe_phase(self._state, self._total, self._elapsed_s(), width=width)}"

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started
