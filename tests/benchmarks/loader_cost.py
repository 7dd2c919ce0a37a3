"""What a batch costs: CPU time of each way to load the same data set, beside what its codecs alone cost.

    python -m tests.benchmarks.loader_cost DATASET [--rounds 5] [--only NAME,NAME]

DATASET is packed photographs, such as `shardpack pack labels.csv DATASET --gpus 8 --resize 256 --quality 95` makes
them; `make crop-decoder` comes first. Random crops of 8 to 100 % of the area are scaled to 224 pixels and mirrored, in
batches of 64, as uint8. Every way is a process of its own that runs an epoch at a time, in turns, so that all of them
meet the same machine. CPU time is that of its whole tree, until it stands still after an epoch: what is made ahead
counts once. Memory is the proportional set size of the tree. Peers have environments of their own, made when they are
first needed below build/bench; one that cannot be had is left out, with the reason. SPDL needs FFmpeg's libraries
(Debian: libavfilter8 libavdevice59).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import create_parser, median, report, spread
from tests.benchmarks.peers.environments import InstallError
from tests.benchmarks.peers.loader_peers import (
    LOADER_PEERS,
    LoaderData,
    Way,
    checkout_without_compiled_part,
    own_way,
    way_before,
)

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_FLOOR, _REGION_FLOOR = "floor", "floor-region"
_WHOLE, _REGION = "whole-subprocess2", "loader-subprocess2"
"""What is held against the floors and the peers: `packer.Loader` as it comes, without and with the compiled part."""
_OWN = (_REGION_FLOOR, "loader-process1", "loader-process2", _REGION)
_WITHOUT_COMPILED = ("whole-process1", "whole-process2", _WHOLE)
_BEFORE = ("before-0", "before-1", "before-2")
_STANDS_STILL_S = 0.15
_SETTLES_WITHIN_S = 5.0


class _StartError(Exception):
    """A way does not work here; says why."""


def main() -> None:
    given = _parse()
    left_out: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        running: dict[str, _Contestant] = {}
        for name, find in _ways(Path(given.dataset)).items():
            if given.only and name not in (_FLOOR, *given.only.split(",")):
                continue
            try:
                running[name] = stack.enter_context(_Contestant(find()))
            except (InstallError, _StartError, OSError, subprocess.SubprocessError) as error:
                left_out[name] = str(error)
        costs = _run_rounds(running, given.rounds)
        memory = {name: contestant.memory_mb() for name, contestant in running.items()}
    figures = {"us_per_image": costs, "memory_mb": memory, "left_out": left_out}
    rows = [_row(name, costs, memory[name]) for name in costs]
    rows += [(name, "left out", reason) for name, reason in left_out.items()]
    report("loader_cost", rows, figures, given.json)


def _run_rounds(running: dict[str, _Contestant], rounds: int) -> dict[str, list[float]]:
    """Run an epoch of each in turn; an interrupt ends it with the rounds that are whole."""
    costs: dict[str, list[float]] = {name: [] for name in running}
    with contextlib.suppress(KeyboardInterrupt):
        for number in range(rounds):
            # Every other round runs backwards, so that no one always follows the same one.
            order = list(running) if number % 2 == 0 else list(reversed(running))
            found = {name: running[name].run() for name in order}
            for name, cost in found.items():
                costs[name].append(cost)
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return costs


def _parse() -> argparse.Namespace:
    parser = create_parser("the cost of a batch")
    parser.add_argument("dataset")
    parser.add_argument("--only", metavar="NAMES", help="of these ways, with commas between, and the floor")
    return parser.parse_args()


def _ways(dataset: Path) -> dict[str, Callable[[], Way]]:
    """Return how each way is found; finding makes what it needs."""
    data = LoaderData(dataset)
    ways: dict[str, Callable[[], Way]] = {name: lambda name=name: own_way(name, dataset) for name in (_FLOOR, *_OWN)}
    without = checkout_without_compiled_part()
    ways |= {name: lambda name=name: own_way(name, dataset, without) for name in _WITHOUT_COMPILED}
    ways |= {name: lambda name=name: way_before(name, dataset) for name in _BEFORE}
    ways |= {peer.name: lambda peer=peer: peer.way(data) for peer in LOADER_PEERS}
    return ways


class _Contestant:
    """A process that waits until it is told to run an epoch."""

    def __init__(self, way: Way) -> None:
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONWARNINGS": "ignore"}
        environment = os.environ | quiet | {"PYTHONPATH": str(way.checkout)}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            way.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            cwd=way.checkout,
        )

    def __enter__(self) -> _Contestant:
        """Wait for the first epoch, with all that is loaded and started. Raises _StartError."""
        try:
            self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        for pid in _tree(self._process.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        self._process.wait()
        self._errors.close()

    def run(self) -> float:
        """Run an epoch; return the microseconds of CPU time for each of its images."""
        before = self._settled_cpu_s()
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        num_images = self._read()["num_images"]
        return (self._settled_cpu_s() - before) / num_images * 1e6

    def memory_mb(self) -> float:
        return sum(map(_pss_mb, _tree(self._process.pid)))

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            raise _StartError(f"it ended with code {code}: {lines[-1] if lines else 'and said nothing'}")
        found: dict[str, Any] = json.loads(line)
        return found

    def _settled_cpu_s(self) -> float:
        """Return the CPU time so far, once no more batches are made ahead."""
        deadline_s = time.monotonic() + _SETTLES_WITHIN_S
        ticks = self._cpu_ticks()
        while time.monotonic() < deadline_s:
            time.sleep(_STANDS_STILL_S)
            before, ticks = ticks, self._cpu_ticks()
            if ticks - before <= 1:
                break
        return ticks / _TICKS_PER_S

    def _cpu_ticks(self) -> int:
        return sum(map(_cpu_ticks, _tree(self._process.pid)))


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


def _row(name: str, costs: dict[str, list[float]], memory_mb: float) -> tuple[str, str, str]:
    found = costs[name]
    remarks = [f"{median(found):,.0f} ({spread(found)})", f"{memory_mb:,.0f} MB"]
    if name != _FLOOR:
        remarks.append(f"{_ratio(found, costs[_FLOOR]):.2f} times the floor")
    if name != _REGION_FLOOR and _REGION_FLOOR in costs:
        remarks.append(f"{_ratio(found, costs[_REGION_FLOOR]):.2f} times that of windows alone")
    for ours in (_WHOLE, _REGION):
        if ours in costs and name not in (_FLOOR, *_OWN, *_WITHOUT_COMPILED):
            remarks.append(f"{ours} costs {_ratio(costs[ours], found):.2f} of it")
    return name, f"{min(found):,.0f} us", "; ".join(remarks)


def _ratio(costs: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the ratios, round by round: what slows one round slows all that run in it."""
    return median([cost / other for cost, other in zip(costs, others, strict=True)])


if __name__ == "__main__":
    main()
