"""Framing and reading records of random bytes, images left out: the cost of the containers alone."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import in_turns, median
from tests.benchmarks.peers.environments import ROOT, InstallError
from tests.benchmarks.peers.packers import adapter_command

_LIMIT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    name: str
    script: str
    environment: str | None = None
    ways: tuple[str, ...] = ("",)
    """To read: the adapter's names."""


SHARDPACK = "shardpack TFRecord"
CHECKED = "both checksums"
TENSORFLOW = "TensorFlow"
CONTAINERS = (
    Container(name=SHARDPACK, script="with_shardpack", ways=(CHECKED, "length's checksum alone")),
    Container(name="shardpack RecordIO", script="with_shardpack_recordio", ways=("no checksums",)),
    Container(
        name=TENSORFLOW,
        script="with_tensorflow",
        environment="tensorflow",
        ways=("as_numpy_iterator", "eager tensors"),
    ),
    Container(name="MXNet RecordIO", script="with_mxnet", environment="mxnet"),
    Container(name="array_record", script="with_array_record", environment="tensorflow", ways=()),
    Container(name="MDS", script="with_mds", environment="torch", ways=("iterated", "by index")),
    Container(name="litdata", script="with_litdata", environment="torch"),
    Container(name="webdataset", script="with_webdataset", environment="torch"),
)


@dataclass(slots=True, kw_only=True)
class RecordsContest:
    num_records: int
    record_bytes: int
    writing_s: dict[str, list[float]] = field(default_factory=dict)
    """CPU seconds of each round, by container."""
    reading_s: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """The same, by container and way to read it: the first pass of a process."""
    reading_again_s: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """The same: the pass after it."""
    errors: dict[str, str] = field(default_factory=dict)

    def written_mb_per_cpu_s(self, name: str) -> float:
        return self.num_records * self.record_bytes / 1e6 / median(self.writing_s[name])

    def read_us(self, key: tuple[str, str]) -> float:
        return 1e6 * median(self.reading_s[key]) / self.num_records

    def read_again_us(self, key: tuple[str, str]) -> float:
        return 1e6 * median(self.reading_again_s[key]) / self.num_records

    def to_json(self) -> dict[str, Any]:
        return {
            "num_records": self.num_records,
            "record_bytes": self.record_bytes,
            "written_mb_per_cpu_s": {name: self.written_mb_per_cpu_s(name) for name in self.writing_s},
            "writing_cpu_s": self.writing_s,
            "read_cpu_us_per_record": {title(key): self.read_us(key) for key in self.reading_s},
            "read_again_cpu_us_per_record": {title(key): self.read_again_us(key) for key in self.reading_s},
            "reading_cpu_s": {title(key): values for key, values in self.reading_s.items()},
            "reading_again_cpu_s": {title(key): values for key, values in self.reading_again_s.items()},
            "errors": self.errors,
        }


def hold_records_contest(
    work: Path, containers: Sequence[Container], *, rounds: int, num_records: int, record_bytes: int
) -> RecordsContest:
    """Write and read with the containers in turns, each into an empty folder."""
    contest = RecordsContest(num_records=num_records, record_bytes=record_bytes)

    def turn(container: Container) -> Callable[[], float]:
        def call() -> float:
            if container.name in contest.errors:
                return math.nan
            dest = work / "records"
            shutil.rmtree(dest, ignore_errors=True)
            try:
                _write_and_read(contest, container, dest)
            except (InstallError, _FailedError) as error:
                contest.errors[container.name] = str(error)
            shutil.rmtree(dest, ignore_errors=True)
            return 0.0

        return call

    in_turns({container.name: turn(container) for container in containers}, rounds)
    return contest


def title(key: tuple[str, str]) -> str:
    """Return a container and a way to read it in words."""
    return ", ".join(filter(None, key))


class _FailedError(Exception):
    """An adapter failed; holds the last line that it printed."""


def _write_and_read(contest: RecordsContest, container: Container, dest: Path) -> None:
    written = _call(container, "write", dest, contest.num_records, contest.record_bytes)
    contest.writing_s.setdefault(container.name, []).append(written["next"]["cpu_s"])
    expected = (contest.num_records, contest.num_records * contest.record_bytes)
    for way in container.ways:
        read = _call(container, "read", dest, way)
        for found in read.values():
            if (found["num_records"], found["num_bytes"]) != expected:
                raise _FailedError(f"expected {expected} records and bytes, read {found}")
        contest.reading_s.setdefault((container.name, way), []).append(read["first"]["cpu_s"])
        contest.reading_again_s.setdefault((container.name, way), []).append(read["next"]["cpu_s"])


def _call(container: Container, *arguments: object) -> dict[str, dict[str, float]]:
    command = adapter_command(container.environment, container.script, *arguments)
    # Our own adapter finds `packer` where this benchmark does; the peers' environments are given nothing.
    environ = {**os.environ, "PYTHONPATH": str(ROOT)} if container.environment is None else None
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=_LIMIT_S)
    if done.returncode:
        raise _FailedError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:300])
    found: dict[str, dict[str, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
