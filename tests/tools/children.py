"""Runs of shardpack as forked processes: real ones, to be killed or stopped, that need no second to start.

A fork is safe here as nothing in the parent has used obstore or started threads.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Child:
    """A process, and where its last words are."""

    pid: int
    log: Path

    def stop(self) -> bool:
        """Stop it in mid-air; return whether it was still running."""
        os.kill(self.pid, signal.SIGSTOP)
        return not os.WIFEXITED(os.waitpid(self.pid, os.WUNTRACED)[1])

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def wait(self, timeout_s: float = 120) -> tuple[int, str]:
        """Return its exit code, and what it had to say."""
        deadline = time.monotonic() + timeout_s
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status), self.log.read_text()
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"still running after {timeout_s} s: {self.log.read_text()}")
            time.sleep(0.005)


def fork(work: Callable[[], object], log: Path) -> Child:
    """Run `work` in a forked process, which exits with 0, or with 1 where it raises, the error in its log."""
    log.write_text("")
    pid = os.fork()
    if pid:
        return Child(pid, log)
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:
        log.write_text(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    finally:
        sys.stdout = sys.stderr = None
        os._exit(code)
