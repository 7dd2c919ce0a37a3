"""Running a command with limits that the kernel keeps, and measuring what it used."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from tests.tools.datasets import ROOT, command

# A process of its own, since the kernel counts the memory of the process that starts another as that one's, too.
_STARTER = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), int(sys.argv[1])))
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedRun:
    """How a command ended."""

    code: int
    """Minus the number of the signal that ended it."""
    out: str
    errors: str
    peak_bytes: int
    """Of the process and of all that it waited for, the largest."""


def run_limited(*arguments: object, cpu_s: int = 20) -> LimitedRun:
    """Run shardpack; the kernel ends it after `cpu_s` seconds of CPU time."""
    starter = [sys.executable, "-S", "-c", _STARTER, str(cpu_s), *command(*arguments)]
    run = subprocess.run(starter, cwd=ROOT, capture_output=True, check=True)
    out, _, last = run.stdout.decode().rstrip("\n").rpartition("\n")
    code, peak_bytes = map(int, last.split())
    return LimitedRun(code=code, out=out, errors=run.stderr.decode(), peak_bytes=peak_bytes)


def refuse(*arguments: object, peak_bytes: int = 250_000_000, code: int = 2) -> str:
    """Run shardpack, which must refuse its input in one short line and in little memory; return that line."""
    run = run_limited(*arguments)
    assert (run.code, run.out) == (code, ""), run.errors[-2000:]
    assert run.errors.count("\n") == 1
    assert run.errors.endswith("\n")
    assert len(run.errors) < 5000
    assert run.peak_bytes < peak_bytes, f"{run.peak_bytes:,} bytes"
    return run.errors
