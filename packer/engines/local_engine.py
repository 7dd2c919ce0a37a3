"""Worker processes on this machine.

Workers are started at once, before there is work for them, so that their imports overlap with listing. A worker that
dies has its task given once more to a fresh one: the kernel may have killed it for memory that it no longer needs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from packer.engines.engine import Context, Result, Task, Tick
from packer.engines.stalled import STALL_LIMIT_S
from packer.errors import WorkerError
from packer.processors import count_processors

_LOGGER = logging.getLogger(__name__)
_ATTEMPTS = 2
"""A task whose worker died is tried this many times in all."""
WORKER_ENVIRONMENT = {
    # There is a worker for each core, so libraries' own pools of threads would only cost memory.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_IO_THREADS": "1",
    # Arrow's own allocator would take 6 MB for tables of some kilobytes.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "TOKIO_WORKER_THREADS": "1",
    # glibc would give each thread that reads a heap of its own, which keeps the largest files that it ever held.
    "MALLOC_ARENA_MAX": "1",
    # And it would come to keep freed buffers of up to 32 MB for the next one.
    "MALLOC_MMAP_THRESHOLD_": "4194304",
    # What is below that stays for the next image: giving it back and asking anew was a fifth of packing's time.
    "MALLOC_TRIM_THRESHOLD_": "16777216",
}
"""Variables of worker processes, beside those of their parent."""


class _Worker:
    """A worker process and this side of its socket."""

    def __init__(self, modules: Sequence[str], stall_limit_s: float) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            path = os.pathsep.join(path or os.getcwd() for path in sys.path)
            environment = {**os.environ, **WORKER_ENVIRONMENT, "PYTHONPATH": path}
            numbers = [str(theirs.fileno()), str(os.getpid()), str(stall_limit_s)]
            command = [sys.executable, "-m", "packer.engines.worker", *numbers, *modules]
            # Ctrl-C reaches the whole group, and would show a traceback of a worker that has only begun; the mask is
            # inherited, and what came for this process meanwhile comes when it is restored.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._process = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self.connection = Connection(ours.detach())
        self.task: int | None = None

    def send(self, message: Any) -> None:
        """Send; a dead worker's socket error shows when its end is read."""
        with contextlib.suppress(ConnectionError):
            self.connection.send(message)

    def start(self, task: int) -> None:
        self.task = task
        self.send(task)

    def kill(self) -> None:
        self.connection.close()
        self._process.kill()
        self._process.wait()

    def describe_death(self) -> str:
        """Return how the process ended, in words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout=5)
            if code == -signal.SIGPROF:
                return "was ended by its timer, since one item took too long and let no other code run"
            if code < 0:
                return f"was killed by signal {-code} ({signal.Signals(-code).name})"
            return f"exited with code {code}"
        return "closed its socket"


class LocalEngine:
    """A pool of worker processes. Use it as a context manager, or call `close`."""

    def __init__(
        self,
        num_workers: int | None = None,
        *,
        modules: Sequence[str] = (),
        stall_limit_s: float = STALL_LIMIT_S,
    ) -> None:
        """Start workers.

        Args:
            num_workers: None: one for each processor.
            modules: those that tasks will come from; workers import them ahead.
            stall_limit_s: a task without a sign of progress for so long ends the run; see stalled.py.
        """
        self._modules = tuple(modules)
        self._stall_limit_s = stall_limit_s
        self._num_workers = num_workers or count_processors()
        self._workers: list[_Worker] = []
        self._grow()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self, function: Task[Context, Result], context: Context, tasks: Sequence[int], tick: Tick
    ) -> Iterator[Result]:
        """See `Engine.run`."""
        self._grow()
        pending = deque(tasks)
        attempts: dict[int, int] = {}
        try:
            for worker in self._workers:
                self._hand_over(worker, function, context, pending)
            while busy := {w.connection: w for w in self._workers if w.task is not None}:
                for connection in wait(list(busy)):
                    worker = busy[connection]  # type: ignore[index]
                    task = worker.task
                    assert task is not None
                    try:
                        kind, *values = worker.connection.recv()
                    except (EOFError, ConnectionError, OSError):
                        attempts[task] = attempts.get(task, 0) + 1
                        if attempts[task] >= _ATTEMPTS:
                            raise WorkerError(_death_text(task, worker)) from None
                        _LOGGER.warning("task %d: its worker %s; it is tried again", task, worker.describe_death())
                        pending.appendleft(task)
                        self._hand_over(self._replace(worker), function, context, pending)
                        continue
                    if kind == "tick":
                        tick(values[0], values[1])
                    elif kind == "error":
                        raise values[0]
                    else:
                        worker.task = None
                        if pending:
                            worker.start(pending.popleft())
                        yield values[0]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the workers; what they were writing has no name yet. See `Engine.close`."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.kill()

    def _grow(self) -> None:
        while len(self._workers) < self._num_workers:
            self._workers.append(_Worker(self._modules, self._stall_limit_s))

    def _hand_over(
        self, worker: _Worker, function: Task[Context, Result], context: Context, pending: deque[int]
    ) -> None:
        if pending:
            worker.send((function, context))
            worker.start(pending.popleft())

    def _replace(self, worker: _Worker) -> _Worker:
        worker.kill()
        self._workers.remove(worker)
        self._workers.append(_Worker(self._modules, self._stall_limit_s))
        return self._workers[-1]


def _death_text(task: int, worker: _Worker) -> str:
    return (
        f"task {task}: its worker {worker.describe_death()}, {_ATTEMPTS} times in a row; SIGKILL most often means "
        f"that memory ran out: give fewer `workers` or a smaller `shard_size`, then go on with `resume=True`"
    )
