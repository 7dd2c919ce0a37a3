"""Ends a process that hangs on one item: a decoder in C cannot be interrupted from Python.

    the task's thread        watchdog.item(key): key noted ... decoding ... key cleared
    the watchdog's thread    looks every few seconds; the same note for 300 s: one line, then the process ends

Time is counted in looks, so a process that was stopped or suspended for an hour is not ended when it goes on. A
decoder that also holds the interpreter's lock stops this thread too; for that, each look sets anew a timer of the
kernel that ends the process with SIGPROF after 300 s of computing without another look.
"""

from __future__ import annotations

import os
import signal
import threading
from types import TracebackType

from packer.engines.engine import ITEM_TOO_SLOW
from packer.shown_text import shown

ITEM_LIMIT_S = 300.0
_LOOKS_PER_LIMIT = 60


class Watchdog:
    """Watches the items of one task, one after the other. Use it as a context manager around all of them."""

    def __init__(self, limit_s: float = ITEM_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._note: _Note | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def item(self, key: str) -> _Note:
        """Return a context manager: what is done inside it, for the item `key`, is limited in time."""
        return _Note(self, key)

    def _watch(self) -> None:
        seen: _Note | None = None
        num_looks = 0
        self._rearm(self._limit_s)
        while not self._stop.wait(self._limit_s / _LOOKS_PER_LIMIT):
            self._rearm(self._limit_s)
            note = self._note
            num_looks = num_looks + 1 if note is seen else 0
            seen = note
            if note is not None and num_looks >= _LOOKS_PER_LIMIT:
                self._end_process(note.key)
        self._rearm(0)

    def _rearm(self, seconds: float) -> None:
        signal.setitimer(signal.ITIMER_PROF, seconds)

    def _end_process(self, key: str) -> None:
        text = f"shardpack: {shown(key)}: it took more than {self._limit_s:g} s to decode; this process ends\n"
        os.write(2, text.encode(errors="replace"))
        os._exit(ITEM_TOO_SLOW)


class _Note:
    """One item that is being worked on; a new object for each, so that two looks can tell them apart."""

    __slots__ = ("_watchdog", "key")

    def __init__(self, watchdog: Watchdog, key: str) -> None:
        self._watchdog = watchdog
        self.key = key

    def __enter__(self) -> None:
        self._watchdog._note = self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog._note = None
