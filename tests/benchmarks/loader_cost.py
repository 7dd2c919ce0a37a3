"""What a batch costs: CPU time of each way to load the same data set, beside what its codecs alone cost.

    python -m tests.benchmarks.loader_cost DATASET [--before FOLDER --torch PYTHON] [--tensorflow PYTHON] ...

DATASET is packed photographs, such as `shardpack pack labels.csv DATASET --gpus 8 --resize 256` makes them. Random
crops of 8 to 100 % of the area are scaled to 224 pixels and mirrored, in batches of 64, as uint8. Every way is a
process of its own that runs an epoch at a time, in turns, so that all of them meet the same machine; CPU time is that
of its whole tree, memory the proportional set size. FOLDER is a checkout of a commit with `packer.reading.torch_data`,
the loader of before, and PYTHON an interpreter that has PyTorch (or TensorFlow, or MXNet).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import create_parser, in_turns, median, report, spread

_CONTESTANT = Path(__file__).with_name("loader_contestant.py")
_ROOT = Path(__file__).parents[2]
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_FLOOR = "floor"
_REGION_FLOOR = "floor-region"
"""The codecs alone where windows alone are decoded; needs `make crop-decoder`, as the loaders but `whole` do."""
_OWN = (_REGION_FLOOR, "whole-process1", "loader-process1", "loader-process2", "loader-subprocess2")


@dataclass(frozen=True, slots=True)
class _Way:
    """How a contestant is started."""

    name: str
    dataset: str
    python: str = sys.executable
    checkout: Path = _ROOT


@dataclass(slots=True)
class _Cost:
    cpu_us: list[float] = field(default_factory=list)
    memory_mb: float = 0.0


def main() -> None:
    given = _parse()
    with contextlib.ExitStack() as stack:
        running = {way.name: stack.enter_context(_Contestant(way)) for way in _ways(given)}
        costs = in_turns({name: contestant.run for name, contestant in running.items()}, given.rounds)
        memory = {name: contestant.memory_mb() for name, contestant in running.items()}
    figures = {"us_per_image": costs, "memory_mb": memory}
    report("loader_cost", _rows(costs, memory), figures, given.json)


def _parse() -> argparse.Namespace:
    parser = create_parser("the cost of a batch")
    parser.add_argument("dataset")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a checkout that has packer.reading.torch_data")
    parser.add_argument("--torch", metavar="PYTHON")
    parser.add_argument("--tensorflow", metavar="PYTHON")
    parser.add_argument("--mxnet", metavar="PYTHON")
    parser.add_argument("--recordio", metavar="DATASET", help="the same photographs as one shard of RecordIO")
    return parser.parse_args()


def _ways(given: argparse.Namespace) -> list[_Way]:
    ways = [_Way(name, given.dataset) for name in (_FLOOR, *_OWN)]
    if given.before and given.torch:
        ways += [_Way(f"torch-{number}", given.dataset, given.torch, given.before) for number in (0, 1, 2)]
    if given.tensorflow:
        ways.append(_Way("tfdata", given.dataset, given.tensorflow))
    if given.mxnet and given.recordio:
        ways.append(_Way("mxnet", given.recordio, given.mxnet))
    return ways


class _Contestant:
    """A process that waits until it is told to run an epoch."""

    def __init__(self, way: _Way) -> None:
        environment = os.environ | {"PYTHONPATH": str(way.checkout), "TF_CPP_MIN_LOG_LEVEL": "2"}
        pipe = subprocess.PIPE
        command = [way.python, str(_CONTESTANT), way.name, way.dataset]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=way.checkout)
        self._name = way.name

    def __enter__(self) -> _Contestant:
        self._read()  # the first epoch, with all that is loaded and started
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        self._process.wait()

    def run(self) -> float:
        """Run an epoch; return the microseconds of CPU time for each of its images."""
        before = self._cpu_s()
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        num_images = self._read()["num_images"]
        return (self._cpu_s() - before) / num_images * 1e6

    def memory_mb(self) -> float:
        return sum(map(_pss_mb, _tree(self._process.pid)))

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self._name}: it ended with code {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def _cpu_s(self) -> float:
        return sum(map(_cpu_ticks, _tree(self._process.pid))) / _TICKS_PER_S


def _tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, path.read_text().split())
    return found


def _cpu_ticks(pid: int) -> int:
    """Return user and system time of a process, and of its children that were waited for."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15]))
    return 0


def _pss_mb(pid: int) -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1000
    return 0.0


def _rows(costs: dict[str, list[float]], memory: dict[str, float]) -> list[tuple[str, str, str]]:
    floor, region_floor = costs[_FLOOR], costs[_REGION_FLOOR]
    return [
        (
            name,
            f"{min(found):,.0f} us",
            f"{_ratio(found, floor):.2f} times the floor, {_ratio(found, region_floor):.2f} that of windows alone; "
            f"{spread(found)}; {memory[name]:,.0f} MB",
        )
        for name, found in costs.items()
    ]


def _ratio(costs: Sequence[float], floor: Sequence[float]) -> float:
    """Return the median of the ratios, round by round: what slows one round slows all that run in it."""
    return median([cost / least for cost, least in zip(costs, floor, strict=True)])


if __name__ == "__main__":
    main()
