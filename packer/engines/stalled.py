"""A limit to the time in which a task gets nowhere, so that one that hangs fails and is tried again elsewhere.

    a thread of its own      the task
    the caller's thread      looks every 15 s: 60 looks without a sign of progress, and the task is left behind

A sign is whatever the task tells, and a second of computing, which any number of silent steps need. What is left waits
for something outside: a mount whose server is gone, a socket that nobody serves. Time is counted in looks, so a process
that was stopped or suspended for an hour is no stalled one when it goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import TypeVar

from packer.errors import TaskStalledError

T = TypeVar("T")

STALL_LIMIT_S = 900.0
"""Three times what a request to a store (300 s of trying again) or an item (300 s, `item_timeout`) may take."""
_LOOKS_PER_LIMIT = 60
_BUSY_S = 1.0
"""More than a process uses that waits: threads that wake now and then take milliseconds of CPU a minute."""
_END = object()


class Signs:
    """Counts a task's signs of progress."""

    def __init__(self) -> None:
        self.num = 0

    def give(self) -> None:
        """Say that the task got on."""
        self.num += 1


def run_limited(call: Callable[[], T], signs: Signs, *, what: str, limit_s: float) -> T:
    """Return what `call` returns; it runs in another thread.

    Raises:
        TaskStalledError: for `limit_s` there was no sign of progress; the thread is left to itself.
        Exception: as `call` does.
    """
    done: Future[T] = Future()
    threading.Thread(target=_run, args=(call, done), name="task", daemon=True).start()
    seen, cpu_s, num_looks = signs.num, time.process_time(), 0
    while num_looks < _LOOKS_PER_LIMIT:
        if wait([done], timeout=limit_s / _LOOKS_PER_LIMIT).done:
            return done.result()
        num_looks += 1
        if signs.num != seen or time.process_time() - cpu_s > _BUSY_S:
            seen, cpu_s, num_looks = signs.num, time.process_time(), 0
    raise TaskStalledError(
        f"{what}: expected an item done, or some computing, at least every {limit_s:g} s, found neither: it waits for "
        "something, such as a mount or a server that does not answer"
    )


def iterate_limited(values: Iterator[T], *, what: str, limit_s: float) -> Iterator[T]:
    """Yield the values, for each of which `run_limited` holds."""
    signs = Signs()
    while (value := run_limited(lambda: next(values, _END), signs, what=what, limit_s=limit_s)) is not _END:
        yield value  # type: ignore[misc]


def _run(call: Callable[[], T], done: Future[T]) -> None:
    try:
        done.set_result(call())
    except BaseException as error:  # raised again in the caller's thread, unless nobody waits any more
        done.set_exception(error)
