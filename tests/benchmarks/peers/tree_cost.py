"""Run a command and print what it and every process below it cost, as one JSON object.

    python tree_cost.py LOG SECONDS COMMAND...

Both outputs of the command go to LOG. CPU time is that of the whole tree: this process becomes the reaper of orphans
(prctl, Linux alone), so a worker that outlives its parent is waited for and counted as well. Wall time ends with the
command itself. After SECONDS the tree is killed and the exit status is 124.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_ORPHANS_S = 20
"""How long orphans may take to end by themselves."""
_TIMED_OUT = 124


def main() -> None:
    log, limit_s, *command = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    with open(log, "wb") as file:
        started, patience_s = time.monotonic(), _ORPHANS_S
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            status = process.wait(timeout=float(limit_s))
        except subprocess.TimeoutExpired:
            status, patience_s = _TIMED_OUT, 0
        wall_s = time.monotonic() - started
    _reap_orphans(patience_s)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"status": status, "wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime}))


def _reap_orphans(patience_s: float) -> None:
    """Wait until no process is left below this one; kill what has not ended by then."""
    deadline = time.monotonic() + patience_s
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid:
                continue
            if time.monotonic() > deadline:
                _kill_children()
            time.sleep(0.02)


def _kill_children() -> None:
    """Kill the direct children; theirs become direct children and are killed when this is called again."""
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    main()
