"""Keeps what libraries print off the screen: C libraries to standard error, Pillow as Python warnings."""

from __future__ import annotations

import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from packer.errors import PackerError

_STANDARD_ERROR = 2


class _Silence:
    """Pillow's warnings are ignored while at least one thread is inside.

    The list of warning filters belongs to the process, so the first thread in saves it and the last one out restores
    it. They are ignored whatever the user's filters say: one that raises would turn a good image into a reject.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._num_inside += 1
            if self._num_inside == 1:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=_PILLOW)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._num_inside -= 1
            if self._num_inside == 0:
                self._saved.__exit__(None, None, None)


_PILLOW = r"PIL\b"
without_warnings = _Silence()
"""``with without_warnings:`` for code that calls Pillow; may be nested. Costs some microseconds."""


class _Loan:
    """File descriptor 2, which belongs to the process, while one thread has it for itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._saved: int | None = None
        self.owner: int | None = None
        """The thread that has it."""

    def take(self, target: int) -> bool:
        """Wait until no other thread has standard error, then point it at `target`; False where this loan is over."""
        self._lock.acquire()
        if self is not _loan:
            self._lock.release()
            return False
        self._saved = _redirect(target)
        self.owner = threading.get_ident()
        return True

    def give_back(self) -> None:
        """Point standard error at what it was; a process that has none keeps none."""
        self.owner = None
        if self._saved is not None:
            os.dup2(self._saved, _STANDARD_ERROR)
            os.close(self._saved)
            self._saved = None
        self._lock.release()


_loan = _Loan()
_GUARD = threading.Lock()
"""Held for the moment in which a loan ends, in whichever thread."""


@contextmanager
def captured_stderr() -> Iterator[None]:
    """Catch what is written to file descriptor 2 inside the block; an error that leaves it takes the text as a note.

    What other threads write meanwhile is caught as well, so this is only for decoders known to print.

    Raises PackerError where there is neither memory nor a folder for a temporary file: no fault of any image.
    """
    with _open_scratch() as caught:
        while not (loan := _loan).take(caught.fileno()):
            pass
        try:
            yield
        except Exception as error:
            caught.seek(0)
            if text := caught.read().decode(errors="replace").strip():
                error.add_note(text)
            raise
        finally:
            with _GUARD:
                if loan is _loan:
                    loan.give_back()


def return_stderr(*, of_thread: int | None) -> None:
    """Give standard error back where a thread has it that nobody waits for any more; other threads may take it then."""
    global _loan
    with _GUARD:
        if of_thread is not None and _loan.owner == of_thread:
            loan, _loan = _loan, _Loan()
            loan.give_back()


def _open_scratch() -> IO[bytes]:
    """Open an empty file that has no name and goes with its descriptor: in memory where the system knows such files.

    A worker may have nowhere to write, as in a container whose root is read-only.
    """
    try:
        return os.fdopen(os.memfd_create("standard-error"), "w+b")
    except (AttributeError, OSError) as error:
        in_memory = error
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise PackerError(
            f"cannot open a temporary file, which decoding a TIFF takes, neither in memory ({in_memory}) nor in a "
            f"folder ({error}); free file descriptors, or let TMPDIR name a folder with room, then go on with "
            "`resume=True`"
        ) from error


def _redirect(target: int) -> int | None:
    """Point standard error at `target`; return a copy of what it was, or None for a process that has none."""
    try:
        saved = os.dup(_STANDARD_ERROR)
    except OSError:
        return None
    os.dup2(target, _STANDARD_ERROR)
    return saved
