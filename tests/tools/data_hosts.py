"""Data hosts as processes of their own, which are killed when a test ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

LIMIT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DataHost:
    """One that listens."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def finish(self) -> tuple[int, str]:
        """Return exit code and what was printed after the first line."""
        output, _ = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, output

    @contextlib.contextmanager
    def slowed_down(self, share: float) -> Iterator[None]:
        """In the body the process runs for a share of the time alone."""
        is_over = threading.Event()
        pauser = threading.Thread(target=_pause, args=(self.process.pid, share, is_over))
        pauser.start()
        try:
            yield
        finally:
            is_over.set()
            pauser.join()


@contextlib.contextmanager
def started_host(data: object, *arguments: object, prefix: tuple[str, ...] = (), **environ: str) -> Iterator[DataHost]:
    """Start a data host of a data set on a free port of this machine, with one thread."""
    options = [*(("--data", data) if data else ()), "--bind", "127.0.0.1", "--port", 0, "--threads", 1, *arguments]
    command = [*prefix, sys.executable, "-m", "packer.trainer.feed", *map(str, options)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environ}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listens on" in line, line + process.stdout.read()
        yield DataHost(process=process, address=line.split()[-1])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the data host's command to its end."""
    command = [sys.executable, "-m", "packer.trainer.feed", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def _pause(pid: int, share: float, is_over: threading.Event) -> None:
    try:
        while not is_over.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.1 * (1 - share))
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.1 * share)
    except ProcessLookupError:
        pass
