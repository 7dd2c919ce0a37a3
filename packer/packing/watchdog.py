"""Goes on without an item that takes too long: a decoder in C cannot be interrupted from Python, but left behind.

    a thread of its own      turn.begin(item) ... decoding ... turn.end(), item by item
    the task's thread        looks every few seconds; the same item for 300 s: that thread is left to itself, and
                             another one goes on with the next item

Time is counted in looks, so a process that was stopped or suspended for an hour loses no item when it goes on. A
decoder that also holds the interpreter's lock stops the task's thread too; for that, each look sets anew a timer of the
kernel that ends the process with SIGPROF after 300 s of computing without another look.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeAlias

from packer.imaging.library_messages import return_stderr

_LOOKS_PER_LIMIT = 60


class Turn:
    """A thread's right to work on items, one after the other, until one of them takes too long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._item: int | None = None
        self._is_over = False

    @property
    def item(self) -> int | None:
        """The number of the item that is being worked on."""
        return self._item

    @property
    def is_over(self) -> bool:
        """Another thread goes on; what this one does must leave no trace."""
        return self._is_over

    def begin(self, item: int) -> None:
        """Begin to work on an item; its number is not that of another one."""
        self._item = item

    def end(self) -> bool:
        """Say whether the item may count, and others may follow."""
        with self._lock:
            self._item = None
            return not self._is_over

    def stop(self, item: int | None = None) -> bool:
        """End the turn, if it is still at `item` where one is given; say whether it was."""
        with self._lock:
            if item is not None and self._item != item:
                return False
            self._is_over = True
            return True


Work: TypeAlias = Callable[[Turn], None]


def run_in_turns(work: Work, *, on_slow: Callable[[int], None], limit_s: float) -> None:
    """Call `work` in a thread and wait for it; where one item takes longer than `limit_s`, go on without that thread.

    Then `on_slow` is called with the item's number in this thread, and `work` anew in another one, for the items that
    are left. A thread that was left behind computes until its item is done. Raises what `work` and `on_slow` raise.
    """
    slow: int | None = -1
    while slow is not None:
        turn, done = Turn(), Future[None]()
        thread = threading.Thread(target=_run, args=(work, turn, done), name="items", daemon=True)
        thread.start()
        try:
            slow = _wait(turn, done, limit_s)
        finally:
            turn.stop()
            _set_timer(0)
        if slow is not None:
            return_stderr(of_thread=thread.ident)
            on_slow(slow)


def _run(work: Work, turn: Turn, done: Future[None]) -> None:
    try:
        work(turn)
        done.set_result(None)
    except BaseException as error:  # raised again in the task's thread, unless nobody waits any more
        done.set_exception(error)


def _wait(turn: Turn, done: Future[None], limit_s: float) -> int | None:
    """Return the number of the item that took too long; None when all work is done."""
    seen: int | None = None
    num_looks = 0
    while True:
        _set_timer(limit_s)
        if wait([done], timeout=limit_s / _LOOKS_PER_LIMIT).done:
            done.result()
            return None
        item = turn.item
        num_looks = num_looks + 1 if item == seen else 0
        seen = item
        if item is not None and num_looks >= _LOOKS_PER_LIMIT and turn.stop(item):
            return item


def _set_timer(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
