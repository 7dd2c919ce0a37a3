"""Real jobs of several ranks, each with a hard limit, since the failure to fear is a hang."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packer.specs import FormatName
from tests.reading.make_dataset import deal, make_dataset, make_samples

LIMIT_S = 240
"""Jobs take 5 to 15 s on two idle cores."""
MARK_VARIABLE = "SHARDPACK_TEST_JOB"
RANK_VARIABLES = ("HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "RANK")


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherCommand:
    """What starts ranks."""

    name: str
    head: tuple[str, ...]
    python: tuple[str, ...] = (sys.executable,)
    """In the place of the interpreter; empty where the launcher brings it."""

    def command(self, size: int, arguments: Sequence[object]) -> list[str]:
        """Return the whole command of `size` ranks of ``python <arguments>``."""
        head = [part.format(size=size) for part in self.head]
        return [*head, *self.python, *map(str, arguments)]


HOROVODRUN = LauncherCommand(
    name="horovodrun",
    head=(str(Path(sys.executable).with_name("horovodrun")), *("-np", "{size}", "--gloo", "-H", "localhost:{size}")),
)
MPIRUN = LauncherCommand(
    name="mpirun",
    head=(
        *("mpirun", "-np", "{size}", "--oversubscribe", "-bind-to", "none", "-mca", "mpi_yield_when_idle", "1"),
        *("-mca", "btl", "self,vader", "-mca", "btl_vader_single_copy_mechanism", "none"),
    ),
)
TORCHRUN = LauncherCommand(
    name="torchrun",
    head=(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "{size}"),
    python=(),
)
ALONE = LauncherCommand(name="alone", head=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A job that is over."""

    status: int
    lines: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankJob:
    """A job that runs. Its processes are known by a variable, since launchers give ranks sessions of their own."""

    launcher: subprocess.Popen[str]
    mark: str

    def finish(self) -> Ended:
        """Wait for the end; a job that hangs fails the test."""
        try:
            output, _ = self.launcher.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the job hangs; it said:\n{self.launcher.communicate()[0]}") from None
        return Ended(status=self.launcher.returncode, lines=output.splitlines())

    def kill(self) -> None:
        """Kill all its processes at once."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def find_rank(self, rank: int) -> int:
        """Return the process that trains as a rank."""
        for pid in self._pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                variables = _environ(pid)
                told = next((variables[name] for name in RANK_VARIABLES if name in variables), "0")
                is_trainer = b"packer.trainer" in words and b"python" in words[0]
                if is_trainer and b"torch.distributed.run" not in words and told == str(rank):
                    return pid
        raise AssertionError(f"no process of rank {rank}")

    def _pids(self) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if _environ(int(folder.name)).get(MARK_VARIABLE) == self.mark:
                    found.append(int(folder.name))
        return found


def _environ(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return dict(entry.partition("=")[::2] for entry in text.split("\0"))


@contextlib.contextmanager
def started(launcher: LauncherCommand, size: int, *arguments: object, **environ: str) -> Iterator[RankJob]:
    """Start ``python <arguments>`` as several ranks, each with one thread; whatever is left at the end is killed."""
    mark = uuid.uuid4().hex
    variables = {
        **{"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "TF_CPP_MIN_LOG_LEVEL": "2"},
        **{"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "-1", MARK_VARIABLE: mark},
    }
    process = subprocess.Popen(
        launcher.command(size, arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | variables | environ,
        start_new_session=True,
    )
    job = RankJob(launcher=process, mark=mark)
    try:
        yield job
    finally:
        job.kill()
        process.communicate()


def run(launcher: LauncherCommand, size: int, *arguments: object, **environ: str) -> Ended:
    """Run a job to its end."""
    with started(launcher, size, *arguments, **environ) as job:
        return job.finish()


def read_events(path: Path, kind: str = "step") -> list[dict[str, Any]]:
    """Return the events of a kind that are whole."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    events = (json.loads(line) for line in lines if line.endswith("\n"))
    return [event for event in events if event["event"] == kind]


def losses(*paths: Path) -> dict[int, float]:
    """Return the loss of each step; of a step that was taken twice, the later one."""
    return {event["step"]: event["loss"] for path in paths for event in read_events(path)}


def wait_for(condition: Callable[[], bool]) -> None:
    """Return as soon as a condition holds; fail if it never does."""
    until_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until_s, "what was waited for never came"
        time.sleep(0.02)


def learnable(
    root: Path, *, num_records: int = 192, num_shards: int = 4, container: FormatName = FormatName.TFRECORD
) -> Path:
    """Write a data set of three colours that a small network learns in a few steps."""
    splits = {
        "train": deal(make_samples(num_records, num_classes=3), num_shards),
        "val": deal(make_samples(27, num_classes=3), num_shards),
    }
    make_dataset(root, splits, container=container, world=2)
    return root
