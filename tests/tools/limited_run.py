"""Running a command with limits that the kernel keeps, and measuring what it used."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from dataclasses import dataclass

from tests.tools.datasets import ROOT, command


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

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command(*arguments), cwd=ROOT, stdout=out, stderr=errors, preexec_fn=limit)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return LimitedRun(code=process.returncode, out=texts[0], errors=texts[1], peak_bytes=usage.ru_maxrss * 1024)


def refuse(*arguments: object, peak_bytes: int = 250_000_000, code: int = 2) -> str:
    """Run shardpack, which must refuse its input in one short line and in little memory; return that line."""
    run = run_limited(*arguments)
    assert (run.code, run.out) == (code, ""), run.errors[-2000:]
    assert run.errors.count("\n") == 1
    assert run.errors.endswith("\n")
    assert len(run.errors) < 5000
    assert run.peak_bytes < peak_bytes
    return run.errors
