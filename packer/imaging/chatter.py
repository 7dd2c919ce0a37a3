"""Keeps what C libraries print to standard error off the screen."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STANDARD_ERROR = 2
_LOCK = threading.Lock()
"""File descriptor 2 belongs to the process, so one thread at a time may borrow it."""


@contextmanager
def captured_stderr() -> Iterator[None]:
    """Catch what is written to file descriptor 2 inside the block; an error that leaves it takes the text as a note.

    What other threads write meanwhile is caught as well, so this is only for decoders known to print.
    """
    with _LOCK, tempfile.TemporaryFile() as caught:
        saved = _redirect(caught.fileno())
        try:
            yield
        except Exception as error:
            caught.seek(0)
            if text := caught.read().decode(errors="replace").strip():
                error.add_note(text)
            raise
        finally:
            if saved is not None:
                os.dup2(saved, _STANDARD_ERROR)
                os.close(saved)


def _redirect(target: int) -> int | None:
    """Point standard error at `target`; return a copy of what it was, or None for a process that has none."""
    try:
        saved = os.dup(_STANDARD_ERROR)
    except OSError:
        return None
    os.dup2(target, _STANDARD_ERROR)
    return saved
