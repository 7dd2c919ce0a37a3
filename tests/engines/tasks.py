"""Tasks for the tests of engines; other processes import them by name."""

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from packer.engines.engine import Tick
from packer.errors import CorruptRecordError


def square(context: int, task: int, tick: Tick) -> tuple[int, int]:
    tick(1, 10)
    return task, context * task * task


def send_multiples(context: int, sender: int) -> Iterator[tuple[int, bytes]]:
    """Send to each of three receivers `context` blobs; sender 7 fails where the context is negative."""
    if context < 0 and sender == 7:
        raise CorruptRecordError("shard.tfrecord", 7, 1234, "expected this, found that")
    for count in range(abs(context)):
        yield (sender + count) % 3, b"%d:%d" % (sender, count)


def receive_sorted(context: int, receiver: int, blobs: Iterator[bytes]) -> tuple[int, list[bytes]]:
    if context > 90 and receiver == 1:
        raise CorruptRecordError("shard.tfrecord", 7, 1234, "expected this, found that")
    return receiver, sorted(blobs)


def process_of(context: Any, task: int, tick: Tick) -> int:
    time.sleep(0.05)
    return os.getpid()


def fail_on_three(context: Any, task: int, tick: Tick) -> int:
    if task == 3:
        raise CorruptRecordError("shard.tfrecord", 7, 1234, "expected this, found that")
    return task


def bug_on_three(context: Any, task: int, tick: Tick) -> int:
    return 1 // (task - 3)


def die_once(folder: str, task: int, tick: Tick) -> int:
    """Kill this process the first time that task 2 comes."""
    mark = Path(folder) / "died"
    if task == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    return task


def die_always(context: Any, task: int, tick: Tick) -> int:
    if task == 2:
        os.kill(os.getpid(), 9)
    return task


def sleep_long(context: str, task: int, tick: Tick) -> int:
    (Path(context) / f"{task}-{os.getpid()}").touch()
    time.sleep(60)
    return task


def chatter(context: Any, task: int, tick: Tick) -> str:
    return os.environ.get("PYTHONPATH", "")


def memory_pool(context: Any, task: int, tick: Tick) -> str:
    return str(pa.default_memory_pool().backend_name)


def fill_the_disk(context: Any, task: int, tick: Tick) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/where")


def lose_a_connection(context: Any, task: int, tick: Tick) -> int:
    raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def _wait_for_a_writer(folder: str, mark: str) -> None:
    """Open a pipe that nobody writes to, the first time that something is marked with this name."""
    place = Path(folder) / mark
    if not place.exists():
        place.touch()
        os.mkfifo(place.with_suffix(".fifo"))
        place.with_suffix(".fifo").read_bytes()


def block_once(folder: str, task: int, tick: Tick) -> int:
    if task == 1:
        _wait_for_a_writer(folder, "task")
    return task


def block_always(folder: str, task: int, tick: Tick) -> int:
    _wait_for_a_writer(folder, f"{time.monotonic_ns()}")
    return task


def send_after_a_block(folder: str, sender: int) -> Iterator[tuple[int, bytes]]:
    yield 0, b"%d" % sender
    if sender == 1:
        _wait_for_a_writer(folder, "sender")
    yield 1, b"%d" % sender


def receive_after_a_block(folder: str, receiver: int, blobs: Iterator[bytes]) -> tuple[int, list[bytes]]:
    found = sorted(blobs)
    if receiver == 1:
        _wait_for_a_writer(folder, "receiver")
    return receiver, found
