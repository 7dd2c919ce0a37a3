"""Batches made by threads of another process, which writes them into memory that both processes map.

Threads in the process of a training loop compete with the loop for the interpreter (GIL); another process's do not.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import signal
import subprocess
import sys

import msgspec

from packer.errors import WorkerError
from packer.loading.batch_feed import MadeBatch, with_tuples
from packer.loading.feed_messages import (
    NUMBER,
    Beat,
    Ended,
    Failed,
    FeedOrder,
    Made,
    MessageBuffer,
    unpack_error,
    write_all,
)
from packer.loading.loader_setup import LoaderSetup, Start
from packer.loading.slot_ring import SlotRing, create_shared_memory

_MODULE = "packer.loading.feed_process"
_READ_BYTES = 1 << 16
_END_WAIT_S = 5.0


class ProcessFeed:
    """A BatchFeed of another process."""

    def __init__(self, setup: LoaderSetup, start: Start, *, stall_timeout_s: float) -> None:
        """Start the process, which starts to make batches.

        Args:
            setup: the split to read.
            start: where to start.
            stall_timeout_s: seconds without a sign of life after which `take` ends the process.

        Raises:
            OSError: there is not enough memory, or no process can be started.
        """
        self._stall_timeout_s = stall_timeout_s
        self._owner = os.getpid()
        self._ready: collections.deque[Made | Failed | Ended] = collections.deque()
        self._buffer = MessageBuffer()
        self._has_ended = self._is_closed = False
        memory = create_shared_memory(setup.layout, setup.num_slots)
        try:
            self.ring = SlotRing(setup.layout, setup.num_slots, memory)
            self._commands, self._messages, self._process = _start_process(memory)
        finally:
            os.close(memory)
        self._name = f"the process that makes the batches of {setup.shards.uri} (pid {self._process.pid})"
        os.set_blocking(self._messages, False)
        data = msgspec.msgpack.encode(_order(setup, start))
        with contextlib.suppress(BrokenPipeError):  # `take` will say how the process ended
            write_all(self._commands, NUMBER.pack(len(data)) + data)

    def has_batch(self) -> bool:
        while not self._ready and self._receive(0):
            pass
        return bool(self._ready) or self._has_ended

    def take(self) -> MadeBatch | None:
        if self._has_ended:
            return None
        while not self._ready:
            if not self._receive(self._stall_timeout_s):
                self.close()
                raise WorkerError(
                    f"{self._name} gave no sign of life for {self._stall_timeout_s:g} s and was ended: it was stopped, "
                    "or this machine is overloaded"
                )
        message = self._ready.popleft()
        if isinstance(message, Made):
            return with_tuples(message.batch)
        self._has_ended = True
        self.close()
        if isinstance(message, Failed):
            raise unpack_error(message.error)
        return None

    def give_back(self, slot: int) -> None:
        if self._is_closed or os.getpid() != self._owner:  # after a fork, slots belong to the parent
            return
        with contextlib.suppress(OSError):  # `take` will say how the process ended
            os.write(self._commands, NUMBER.pack(slot))

    def close(self) -> None:
        if self._is_closed or os.getpid() != self._owner:
            return
        self._is_closed = True
        os.close(self._commands)
        try:
            self._process.wait(_END_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._messages)

    def _receive(self, timeout_s: float) -> bool:
        """Wait for messages and read them; return False if none arrived within `timeout_s`.

        Raises WorkerError if the process has ended.
        """
        poll = select.poll()
        poll.register(self._messages, select.POLLIN)
        if self._is_closed or not poll.poll(timeout_s * 1000):
            return False
        data = os.read(self._messages, _READ_BYTES)
        if not data:
            raise self._ended_error()
        self._buffer.feed(data)
        while (message := self._buffer.next()) is not None:
            if not isinstance(message, Beat):
                self._ready.append(message)
        return True

    def _ended_error(self) -> WorkerError:
        self.close()
        code = self._process.returncode
        if code >= 0:
            return WorkerError(f"{self._name} ended with code {code}; what it printed says why")
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ": the system ends processes so where memory is short" if name == "SIGKILL" else ""
        return WorkerError(f"{self._name} was ended by {name}{hint}")


def _order(setup: LoaderSetup, start: Start) -> FeedOrder:
    return FeedOrder(
        given=msgspec.structs.replace(setup.given, first_fifo=start.passes),
        spec=setup.spec,
        epoch=start.epoch,
        position=start.position,
        layout=setup.layout,
        num_slots=setup.num_slots,
        manifest_digest=setup.shards.manifest.digest,
    )


def _start_process(memory: int) -> tuple[int, int, subprocess.Popen[bytes]]:
    """Return the pipe of commands, the pipe of messages, and the process."""
    commands, own_commands = os.pipe()
    own_messages, messages = os.pipe()
    # The other process must find this one's modules, such as a transform's. -P keeps it from adding another folder.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(memory), str(commands), str(messages)],
            stdin=subprocess.DEVNULL,
            pass_fds=(memory, commands, messages),
            process_group=0,  # Ctrl-C at the terminal must reach the loader's process alone
            env=os.environ | {"PYTHONPATH": path},
        )
    except BaseException:
        os.close(own_commands)
        os.close(own_messages)
        raise
    finally:
        os.close(commands)
        os.close(messages)
    return own_commands, own_messages, process
