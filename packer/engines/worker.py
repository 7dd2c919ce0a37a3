"""The process of one local worker: ``python -m packer.engines.worker FD PARENT_PID STALL_LIMIT_S MODULE...``.

Started as a program of its own rather than by multiprocessing, so that a user's unguarded script is not run again in
it, and nothing of the parent's threads or clients is inherited. While it has nothing to do it imports the modules,
which hold the tasks to come. It talks over one socket: receives
(function, context), then task numbers; sends ("tick", items, bytes), ("done", result) or ("error", exception). The
socket's end means that the parent is gone.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

from packer.engines.stalled import Signs, run_limited
from packer.errors import PackerError, WorkerError
from packer.logs import start_inherited_logs
from packer.without_pandas import leave_pandas_out

_TICK_INTERVAL_S = 0.1
_LOGGER = logging.getLogger("packer.engines.worker")  # as a program, the module has another name


class _Ticker:
    """Sums progress and sends it a few times a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._num_items = 0
        self._num_bytes = 0
        self._sent_at = 0.0

    def __call__(self, num_items: int, num_bytes: int) -> None:
        self._num_items += num_items
        self._num_bytes += num_bytes
        if time.monotonic() - self._sent_at > _TICK_INTERVAL_S:
            self.flush()

    def flush(self) -> None:
        if self._num_items or self._num_bytes:
            try:
                self._connection.send(("tick", self._num_items, self._num_bytes))
            except ConnectionError:  # the parent is gone; not to be taken for an error of the task
                raise SystemExit(1) from None
        self._num_items = self._num_bytes = 0
        self._sent_at = time.monotonic()


def main() -> None:
    """Serve tasks until the parent closes the socket."""
    gc.disable()  # up to the first task: what the libraries set up stays, and is not looked at then either
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    start_inherited_logs()
    leave_pandas_out()
    connection = Connection(int(sys.argv[1]))
    _exit_with_parent(int(sys.argv[2]))
    ticker = _Ticker(connection)
    stall_limit_s = float(sys.argv[3])
    modules = deque(sys.argv[4:])
    try:
        while True:
            if modules and not connection.poll():  # one at a time, so that the first task need not wait for the last
                importlib.import_module(modules.popleft())
            message = connection.recv()
            if isinstance(message, tuple):
                function, context = message
                continue
            if not gc.isenabled():
                gc.freeze()
                gc.enable()
            outcome = _outcome(function, context, message, ticker, stall_limit_s)
            ticker.flush()
            connection.send(outcome)
    except (EOFError, ConnectionError):
        return


def _outcome(function: Any, context: Any, task: int, ticker: _Ticker, stall_limit_s: float) -> tuple[str, Any]:
    _LOGGER.debug("task %d: %s", task, function.__name__)
    signs = Signs()

    def tick(num_items: int, num_bytes: int) -> None:
        signs.give()
        ticker(num_items, num_bytes)

    def do() -> Any:
        return function(context, task, tick)

    try:
        return "done", run_limited(do, signs, what=f"task {task}", limit_s=stall_limit_s)
    except PackerError as error:
        return "error", _picklable(error)
    except OSError as error:
        if error.errno is None:
            return "error", _unforeseen(task, error)
        where = f"{error.filename}: " if error.filename else ""
        return "error", WorkerError(f"task {task}: {where}{error.strerror}; mend that, then go on with `resume=True`")
    except Exception as error:
        return "error", _unforeseen(task, error)


def _unforeseen(task: int, error: Exception) -> WorkerError:
    """Return the error for a bug, or a library's own error: the parent shall name the task and show the place."""
    text = "".join(traceback.format_exception(error))
    problem = WorkerError(f"task {task} raised {type(error).__name__}: {error}")
    problem.add_note(text)
    return problem


def _picklable(error: PackerError) -> PackerError:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error class whose constructor takes other arguments than it passes on
        return WorkerError(str(error))
    return error


def _exit_with_parent(parent_pid: int) -> None:
    """End this process when its parent ends, even in the middle of a task."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
