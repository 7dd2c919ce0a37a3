"""What the benchmarks share: CPU time of processes, medians, a small table, a JSON file.

CPU time (user + system, children that were waited for included) comes first everywhere, since it hardly depends on
what else the machine does; what is compared is run in turns, in one benchmark, and medians are taken.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_LIBRARIES = ("pillow", "cykooz-resizer", "numpy", "pyarrow", "fastcrc", "tensorflow-cpu", "tensorflow", "mxnet")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCost:
    """What one process and its children took."""

    cpu_s: float
    wall_s: float
    peak_bytes: int
    """Largest resident size of one process among them."""
    stdout: str


def create_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="for medians [default: %(default)s]")
    return parser


def add_photographs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photographs",
        nargs="?",
        default=os.environ.get("SHARDPACK_SAMPLE"),
        help="a folder of JPEG photographs [default: what SHARDPACK_SAMPLE names]",
    )


def list_photographs(folder: str | None) -> list[Path]:
    """Return the JPEG files below a folder in an order that has nothing to do with their names."""
    if not folder:
        sys.exit("photographs: expected a folder, as argument or in SHARDPACK_SAMPLE")
    paths = [path for path in Path(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")]
    if not paths:
        sys.exit(f"{folder}: expected JPEG files in it, found none")
    # Fibonacci hashing of the sorted position: neighbours by name (one class) are far apart.
    ranked = sorted(range(len(paths)), key=lambda index: index * 2_654_435_769 % 2**32)
    in_order = sorted(paths)
    return [in_order[index] for index in ranked]


def link_photographs(paths: Sequence[Path], folder: Path) -> Path:
    """Fill a new folder with files, not with symbolic links: few data sets have these, and they cost packing more."""
    folder.mkdir()
    for index, path in enumerate(paths):
        linked = folder / f"{index:06d}.jpg"
        try:
            linked.hardlink_to(path.resolve())
        except OSError:  # on another file system
            shutil.copyfile(path, linked)
    return folder


def run_process(command: Sequence[str]) -> ProcessCost:
    """Run a command to its end. Raises CalledProcessError with what it printed."""
    started = time.monotonic()
    with _start(command) as process:
        return _cost_of(process, lambda: time.monotonic() - started)


def run_in_slices(commands: Sequence[Sequence[str]], *, slice_s: float = 1) -> list[ProcessCost]:
    """Run commands to their ends, one at a time for a short slice each, while the others are stopped.

    So all of them meet the same machine, whose speed others on it may change within seconds. A command's wall-clock
    time is the sum of its slices. Shorter ones would be to the disadvantage of commands of several processes: when
    these go on, it takes some milliseconds until each has a core of its own. Raises CalledProcessError.
    """
    with ExitStack() as stack:
        running = [stack.enter_context(_SlicedProcess(command)) for command in commands]
        while left := [process for process in running if process.cost is None]:
            for process in left:
                process.run(slice_s)
        return [process.cost for process in running if process.cost]


class _SlicedProcess:
    """A command that stands still, with its children, unless `run` is under way. What it prints must fit a pipe."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = _start(command, start_new_session=True)
        os.killpg(self._process.pid, signal.SIGSTOP)
        self._wall_s = 0.0
        self.cost: ProcessCost | None = None
        """None until it has ended."""

    def __enter__(self) -> _SlicedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        with self._process:
            pass  # waits for it and closes its pipes

    def run(self, slice_s: float) -> None:
        """Let it run for so long, or to its end."""
        end = os.pidfd_open(self._process.pid)
        started = time.monotonic()
        os.killpg(self._process.pid, signal.SIGCONT)
        try:
            has_ended = bool(select.select([end], [], [], slice_s)[0])
        finally:
            os.close(end)
        if not has_ended:
            os.killpg(self._process.pid, signal.SIGSTOP)
        self._wall_s += time.monotonic() - started
        if has_ended:
            self.cost = _cost_of(self._process, lambda: self._wall_s)


def _start(command: Sequence[str], *, start_new_session: bool = False) -> subprocess.Popen[str]:
    """Start a command whose bytecode is kept, as that of an installed package is, whatever this process does."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=start_new_session
    )


def _cost_of(process: subprocess.Popen[str], wall_s: Callable[[], float]) -> ProcessCost:
    """Wait for the end of a process. Raises CalledProcessError with what it printed, if it failed."""
    # Both pipes are small here; a process that filled standard error would have to be read in turns.
    stdout = process.stdout.read()
    stderr = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, stdout, stderr)
    return ProcessCost(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=wall_s(),
        peak_bytes=usage.ru_maxrss * 1024,
        stdout=stdout,
    )


def cpu_seconds(call: Callable[[], Any]) -> float:
    """Return the CPU time of a call in this process, all threads included."""
    started = time.process_time()
    call()
    return time.process_time() - started


def in_turns(calls: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Call each in turn, `rounds` times over, and return what each returned."""
    results: dict[str, list[T]] = {name: [] for name in calls}
    for index in range(rounds):
        # Every other round runs backwards, so that no one always follows the same one.
        for name in list(calls) if index % 2 == 0 else reversed(list(calls)):
            results[name].append(calls[name]())
    return results


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """Return ``least - most``."""
    return f"{min(values):.2f} - {max(values):.2f}"


def peak_bytes() -> int:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def report(title: str, rows: Sequence[tuple[str, str, str]], figures: dict[str, Any], json_path: str | None) -> None:
    """Print rows of (what, figure, remark) and write the figures."""
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    print(f"{title}   ({_machine()['processor']}, {_machine()['cores']} cores, Python {platform.python_version()})")
    for what, figure, remark in rows:
        print(f"  {what:<{widths[0]}}  {figure:>{widths[1]}}  {remark}".rstrip())
    if json_path:
        text = json.dumps({"benchmark": title, "machine": _machine(), "figures": figures}, indent=2, sort_keys=True)
        Path(json_path).write_text(text + "\n")


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
