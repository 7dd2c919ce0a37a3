"""Framing and reading records of random bytes, images left out: the cost of the containers alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import in_turns, median
from tests.benchmarks.peers.environments import InstallError
from tests.benchmarks.peers.packers import FailedError
from tests.benchmarks.peers.passes import Adapter, Passes, running

_LATER_PASSES = 3
"""Of a process, after its first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    name: str
    script: str
    environment: str | None = None
    ways: tuple[str, ...] = ("",)
    """To read: the adapter's names."""


CHECKED = "both checksums"
SHARDPACK = Container(name="shardpack TFRecord", script="with_shardpack", ways=("length's checksum alone",))
"""All others are compared with it, read with both checksums."""
TENSORFLOW = "TensorFlow"
CONTAINERS = (
    SHARDPACK,
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
    writing: dict[str, Passes] = field(default_factory=dict)
    """By container."""
    reading: dict[tuple[str, str], Passes] = field(default_factory=dict)
    """By container and way to read it: the first pass of a process."""
    reading_again: dict[tuple[str, str], Passes] = field(default_factory=dict)
    """The same: the passes after it."""
    errors: dict[str, str] = field(default_factory=dict)

    def mb_per_cpu_s(self, cpu_s: Sequence[float]) -> float:
        return self.num_records * self.record_bytes / 1e6 / median(cpu_s)

    def us_per_record(self, cpu_s: Sequence[float]) -> float:
        return 1e6 * median(cpu_s) / self.num_records

    def to_json(self) -> dict[str, Any]:
        parts = {"writing": {(name,): found for name, found in self.writing.items()}}
        parts |= {"reading": self.reading, "reading_again": self.reading_again}  # type: ignore[dict-item]
        return {
            "num_records": self.num_records,
            "record_bytes": self.record_bytes,
            "errors": self.errors,
            **{
                part: {
                    title(key): {"times": passes.ratio, "cpu_s": passes.theirs, "shardpack_cpu_s": passes.ours}
                    for key, passes in found.items()
                    if key[0] not in self.errors
                }
                for part, found in parts.items()
            },
        }


def hold_records_contest(
    work: Path, containers: Sequence[Container], *, rounds: int, num_records: int, record_bytes: int
) -> RecordsContest:
    """Write and read with each container in turns with shardpack's, each into a folder of its own."""
    contest = RecordsContest(num_records=num_records, record_bytes=record_bytes)

    def turn(container: Container) -> Callable[[], None]:
        def call() -> None:
            if container.name not in contest.errors:
                try:
                    _write_in_turns(contest, container, work)
                    for way in container.ways:
                        _read_in_turns(contest, container, way, work)
                except (InstallError, FailedError) as error:
                    contest.errors[container.name] = str(error)
                shutil.rmtree(work / "theirs", ignore_errors=True)

        return call

    in_turns({container.name: turn(container) for container in containers}, rounds)
    return contest


def title(key: tuple[str, ...]) -> str:
    """Return a container and a way to read it in words."""
    return ", ".join(filter(None, key))


def _write_in_turns(contest: RecordsContest, container: Container, work: Path) -> None:
    """The first time does not count: its pages of the cache are free and warm for those that follow.

    Memory that a virtual machine has not touched before costs up to six times what writing does, by a hidden fault of
    the host for each page, whoever happens to get it.
    """
    size = (contest.num_records, contest.record_bytes)
    with (
        running(SHARDPACK.environment, SHARDPACK.script, "write", work / "ours", *size) as ours,
        running(container.environment, container.script, "write", work / "theirs", *size) as theirs,
    ):
        _take_turns(Passes(), ours, theirs, {})
        passes = contest.writing.setdefault(container.name, Passes())
        for _ in range(_LATER_PASSES):
            _take_turns(passes, ours, theirs, {})


def _read_in_turns(contest: RecordsContest, container: Container, way: str, work: Path) -> None:
    """A way to read has a process of its own, whose first pass pays for what a library sets up at its first use."""
    key = (container.name, way)
    expected = {"num_records": contest.num_records, "num_bytes": contest.num_records * contest.record_bytes}
    with (
        running(SHARDPACK.environment, SHARDPACK.script, "read", work / "ours", CHECKED) as ours,
        running(container.environment, container.script, "read", work / "theirs", way) as theirs,
    ):
        _take_turns(contest.reading.setdefault(key, Passes()), ours, theirs, expected)
        again = contest.reading_again.setdefault(key, Passes())
        for _ in range(_LATER_PASSES):
            _take_turns(again, ours, theirs, expected)


def _take_turns(passes: Passes, ours: Adapter, theirs: Adapter, expected: dict[str, int]) -> None:
    our_s, their_s = ours.make_pass(expected), theirs.make_pass(expected)
    passes.ours.append(our_s)
    passes.theirs.append(their_s)
