"""The processes of a job: relays their output, stops them, and makes sure that none is left.

Each process leads a session of its own, so a signal to its group also reaches the processes that it started.

    all end by themselves          done
    one fails                      the others get SIGTERM, and SIGKILL some seconds later
    the job is asked to stop       all get that signal, and SIGKILL after the grace period
    it is asked again              all get SIGKILL at once
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
"""Seconds between SIGTERM and SIGKILL for ranks that still run after another rank failed."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.02
_STREAM_END_WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankLine:
    """One line of a process's output."""

    source: str
    """The rank's number, a data host's name, or mpirun."""
    text: str
    """The line without its end."""
    is_error: bool
    """The line came from standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The standard output or standard error of one process."""

    source: str
    file: IO[bytes]
    is_error: bool


Say: TypeAlias = Callable[[RankLine], None]


class StopRequest:
    """In its body, records the signals that ask this process to stop."""

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
    """A process that leads a session of its own, and its output."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the process.

        Raises:
            OptionsError: there is no such program, or it cannot be executed.
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
        """The exit code as in subprocess: negative for the signal that ended the process; None while it runs.

        When the process has ended, this also kills processes that it left running.
        """
        if self.process.returncode is None:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            if os.waitid(os.P_PID, self.process.pid, options) is not None:
                self.signal(signal.SIGKILL)  # before waiting for it: then its id may be reused
                self.process.wait()
        return self.process.returncode

    def signal(self, number: int) -> None:
        """Send a signal to the process group, if any process is left in it."""
        signal_group(self.process.pid, number)


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a process group. It is no error if the group is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class Guard:
    """A process that kills a job's other processes if this one is killed. Its body is the job."""

    def __init__(self, base: str) -> None:
        """Start the guard. `base` is the folder in which it removes FIFOs in that case. Raises OSError."""
        self._process = subprocess.Popen(
            [sys.executable, guard.__file__, base], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self._tell("done")
        self._process.communicate()

    def watch(self, processes: Sequence[ProcessGroup]) -> None:
        """Let the guard kill these processes if this one is killed."""
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
    """Wait until all processes have ended, and stop them when it is due.

    Args:
        processes: the running processes.
        stop: signals to pass on.
        grace_s: seconds between a signal and SIGKILL.
        check: called now and then; an error that it raises ends the job.
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
    """Kill the processes that still run, and the processes that they started."""
    _signal_running(processes, signal.SIGKILL)
    for process in processes:
        process.process.wait()


def _signal_running(processes: Sequence[ProcessGroup], number: int) -> None:
    for process in processes:
        if process.exit_code is None:
            process.signal(number)


@contextlib.contextmanager
def relayed(streams: Sequence[Stream], say: Say) -> Iterator[None]:
    """Pass each line of `streams` to `say`. After the body, wait only a few seconds for the streams to end."""
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
        for thread in threads:  # a process that left its group may hold a stream open forever
            thread.join(timeout=_STREAM_END_WAIT_S)
