"""What long work says of itself while it runs; the command line draws it, a library call stays silent."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a run, in the process that started it."""

    def phase(self, name: str, *, total: int | None) -> AbstractContextManager[object]:
        """Enter a phase of `total` items (None: not known)."""

    def advance(self, num_items: int, num_bytes: int) -> None:
        """Count items of the present phase, and the source bytes that they had."""

    def reuse(self, num_items: int) -> None:
        """Count items of the present phase that an earlier run had done; they are no part of this one's rates."""

    def reject(self, num_items: int) -> None:
        """Count items of the present phase that were rejected; they count as items too."""

    def note(self, text: str) -> None:
        """Tell something that is worth knowing and no error."""


class SilentProgress:
    """Says nothing."""

    def phase(self, name: str, *, total: int | None) -> AbstractContextManager[object]:
        return nullcontext()

    def advance(self, num_items: int, num_bytes: int) -> None:
        return

    def reuse(self, num_items: int) -> None:
        return

    def reject(self, num_items: int) -> None:
        return

    def note(self, text: str) -> None:
        return
