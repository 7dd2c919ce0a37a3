"""Progress on a terminal: a bar with rates and time left. Elsewhere it is a plain line now and then."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from packer.cli.plain_progress import PlainProgress
from packer.cli.shown_line import say_line
from packer.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID


def create_progress() -> Progress:
    """Return what suits standard error."""
    return TerminalProgress() if sys.stderr.isatty() else PlainProgress(say_line)


class TerminalProgress:
    """Draws a bar for each phase: items, images/s, MB/s, time left."""

    def __init__(self) -> None:
        self._bar: RichBar | None = None
        self._task: TaskID | None = None
        self._num_bytes = 0
        self._num_rejects = 0

    @contextmanager
    def phase(self, name: str, *, total: int | None) -> Iterator[None]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichBar

        self._num_bytes = self._num_rejects = 0
        columns = (
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        with RichBar(*columns, console=Console(stderr=True)) as self._bar:
            self._task = self._bar.add_task(name, total=total, rates="")
            yield
        self._bar = self._task = None

    def advance(self, num_items: int, num_bytes: int) -> None:
        if self._bar is None or self._task is None:
            return
        self._num_bytes += num_bytes
        elapsed_s = max(1e-3, self._bar.tasks[0].elapsed or 0)
        images = (self._bar.tasks[0].completed + num_items) / elapsed_s
        rates = f"{images:,.0f} images/s {self._num_bytes / elapsed_s / 1e6:,.1f} MB/s"
        if self._num_rejects:
            rates += f" {self._num_rejects:,} rejected"
        self._bar.update(self._task, advance=num_items, rates=rates)

    def reject(self, num_items: int) -> None:
        self._num_rejects += num_items

    def note(self, text: str) -> None:
        say_line(text)
