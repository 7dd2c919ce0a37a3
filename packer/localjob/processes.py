"""The processes of a job: what they say, how they are stopped, and that none is left.

Each process is the first of a session of its own, so a signal to its group reaches what it has started in turn.

    all end by themselves          done
    one fails                      the others get SIGTERM, and SIGKILL some seconds later
    the job is asked to stop       all get that signal, and SIGKILL after the grace; asked again: SIGKILL at once
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO, TypeAlias

from packer.errors import OptionsError
from packer.localjob import guard

FAILURE_GRACE_S = 5.0
"""Between SIGTERM and SIGKILL for ranks that go on after another one failed."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.02
_LAST_WORDS_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankLine:
    """One line of what a rank said."""

    source: str
    """The rank's number, or mpirun."""
    text: str
    """Without the line's end."""
    is_error: bool
    """It came on standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Where the lines of one source come from."""

    source: str
    file: IO[bytes]
    is_error: bool


Say: TypeAlias = Callable[[RankLine], None]


class StopRequest:
    """Remembers the signals that ask this process to stop, while it is entered."""

    def __init__(self) -> None:
        self.signals: list[int] = []

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._note) for number in _STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signals.append(number)


class ProcessGroup:
    """A process with a session of its own, and what it says."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it.

        Raises:
            OptionsError: there is no such program, or it is none.
        """
        try:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise OptionsError(f"COMMAND: {command[0]} cannot be started: {error.strerror}") from None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.output: IO[bytes] = self.process.stdout
        self.errors: IO[bytes] = self.process.stderr

    @property
    def exit_code(self) -> int | None:
        """As subprocess says it: minus the signal that ended it; None while it runs.

        What it has left running ends when its own end is seen.
        """
        if self.process.returncode is None:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            if os.waitid(os.P_PID, self.process.pid, options) is not None:
                self.signal(signal.SIGKILL)  # before it is waited for, after which another group may get its number
                self.process.wait()
        return self.process.returncode

    def signal(self, number: int) -> None:
        """Send a signal to the group, if any of it is left."""
        signal_group(self.process.pid, number)


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a process group; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class Guard:
    """A process that ends a job's other processes when this one is killed; entered for as long as the job takes."""

    def __init__(self, base: str) -> None:
        """Start it. `base` is the folder in which it then removes FIFOs. Raises OSError."""
        self._process = subprocess.Popen(
            [sys.executable, guard.__file__, base], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self._tell("done")
        self._process.communicate()

    def watch(self, processes: Sequence[ProcessGroup]) -> None:
        """Take processes under guard."""
        for process in processes:
            self._tell(f"group {process.process.pid}")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # someone has killed it
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()


def supervise(
    processes: Sequence[ProcessGroup], stop: StopRequest, *, grace_s: float, check: Callable[[], None]
) -> None:
    """Wait until all processes have ended, ending them where that is due.

    Args:
        processes: started.
        stop: signals that are passed on.
        grace_s: seconds between a signal and SIGKILL.
        check: called now and then; what it raises ends the job.
    """
    deadline_s: float | None = None
    passed_on = 0
    while any(process.exit_code is None for process in processes):
        check()
        if len(stop.signals) > passed_on:
            number = signal.SIGKILL if passed_on else stop.signals[0]
            _signal_running(processes, number)
            passed_on = len(stop.signals)
            deadline_s = time.monotonic() + grace_s
        elif deadline_s is None and any(process.exit_code for process in processes):
            _signal_running(processes, signal.SIGTERM)
            deadline_s = time.monotonic() + FAILURE_GRACE_S
        elif deadline_s is not None and time.monotonic() > deadline_s:
            _signal_running(processes, signal.SIGKILL)
        time.sleep(_POLL_S)


def kill_all(processes: Sequence[ProcessGroup]) -> None:
    """End the processes that still run, and what they started."""
    _signal_running(processes, signal.SIGKILL)
    for process in processes:
        process.process.wait()


def _signal_running(processes: Sequence[ProcessGroup], number: int) -> None:
    for process in processes:
        if process.exit_code is None:
            process.signal(number)


@contextlib.contextmanager
def relayed(streams: Sequence[Stream], say: Say) -> Iterator[None]:
    """Say what comes through `streams`, line by line, to their ends, which must be near when the body is done."""
    lock = threading.Lock()

    def relay(stream: Stream) -> None:
        with stream.file:
            for line in stream.file:
                text = line.decode(errors="replace").rstrip("\r\n")
                with lock:
                    say(RankLine(source=stream.source, text=text, is_error=stream.is_error))

    threads = [threading.Thread(target=relay, args=(stream,), daemon=True) for stream in streams]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:  # a process that has left its group may hold a stream open for ever
            thread.join(timeout=_LAST_WORDS_S)
