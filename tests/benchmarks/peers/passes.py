"""A container's process beside shardpack's: passes over records in turns, so that both meet the same machine.

A core that others share slows and speeds up by a third within seconds. Passes that follow one another share that; whole
measurements that follow one another do not.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from tests.benchmarks.measure import median
from tests.benchmarks.peers.environments import ROOT
from tests.benchmarks.peers.packers import FailedError, adapter_command

_LIMIT_S = 600


@dataclass(slots=True, kw_only=True)
class Passes:
    """CPU seconds of a container's passes, and of those that shardpack made next to each."""

    theirs: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times shardpack's CPU time the container takes: the median of its passes."""
        return median([theirs / ours for theirs, ours in zip(self.theirs, self.ours, strict=True)])


class Adapter:
    """A running adapter, which makes a pass whenever it is asked to."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[str]) -> None:
        self._process = process
        self._errors = errors

    def make_pass(self, expected: dict[str, int]) -> float:
        """Return the CPU seconds of one more pass. Raises FailedError, also where it did not find what is expected."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(b"\n")
        except BrokenPipeError:
            raise FailedError(self._last_words()) from None
        line = self._process.stdout.readline()
        if not line:
            raise FailedError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        found = {name: answer[name] for name in expected}
        if found != expected:
            raise FailedError(f"expected {expected}, found {found}")
        return float(answer["cpu_s"])

    def _last_words(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        return (self._errors.read().strip().splitlines() or [f"exit status {status}"])[-1][:300]


@contextmanager
def running(environment: str | None, script: str, *arguments: object) -> Iterator[Adapter]:
    """Start an adapter, and end it. Raises InstallError."""
    command = adapter_command(environment, script, *arguments)
    # Our own adapters find `packer` where this benchmark does; the peers' environments are given nothing.
    environ = {**os.environ, "PYTHONPATH": str(ROOT)} if environment is None else None
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environ
        ) as process,
    ):
        limit = threading.Timer(_LIMIT_S, process.kill)
        limit.start()
        try:
            yield Adapter(process, errors)
        finally:
            limit.cancel()
