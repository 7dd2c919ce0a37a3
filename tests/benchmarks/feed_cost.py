"""What data hosts make up for: steps of a trainer with a quarter of a core, fed by itself and by two data hosts.

    python -m tests.benchmarks.feed_cost DATASET [--trainer PYTHON --framework keras] [--json FILE]

DATASET is packed photographs with class labels, such as `shardpack pack labels.csv DATASET --gpus 4 --resize 256` makes
them. The trainer runs in a cgroup of its own (version 1 or 2; this needs the right to make one) with simulated steps of
1 ms an image; data hosts run beside it on the same machine, with what is left of it. Both come before whatever else the
machine does. What is compared is the mean time of a step after the first epoch, in which everything is started, with
the time that the simulated step alone takes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measure import create_parser, in_turns, median, report
from tests.tools.data_hosts import started_host

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
_LIMIT_S = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """How the trainer is run."""

    data: str
    trainer: str
    framework: str
    batch_size: int
    epochs: int
    cgroup: Path
    """Has one for the trainer and one for data hosts."""

    @property
    def step_s(self) -> float:
        return self.batch_size / 1000


def main() -> None:
    parser = create_parser(__doc__ or "")
    parser.add_argument("data", metavar="DATASET")
    parser.add_argument("--trainer", default=sys.executable, metavar="PYTHON", help="that has the framework")
    parser.add_argument("--framework", default="keras")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--cores", type=float, default=0.25, help="of the trainer [default: %(default)s]")
    options = parser.parse_args()
    with _limited(options.cores) as cgroup:
        run = _Run(
            data=options.data,
            trainer=options.trainer,
            framework=options.framework,
            batch_size=options.batch_size,
            epochs=options.epochs,
            cgroup=cgroup,
        )
        _compare(run, options)


def _compare(run: _Run, options: argparse.Namespace) -> None:
    prefix = _joining(run.cgroup / "hosts")
    with started_host(run.data, prefix=prefix) as first, started_host(run.data, prefix=prefix) as second:
        hosts = f"{first.address},{second.address}"
        ways = {"alone": (), "two data hosts": ("--feed", hosts)}
        measured = in_turns({name: lambda more=more: _train(run, more) for name, more in ways.items()}, options.rounds)
    rows = []
    for name, steps in measured.items():
        times = ", ".join(f"{step / run.step_s:.2f}" for step in steps)
        rows.append((name, f"{median(steps) / run.step_s:.2f}", f"x compute alone; rounds {times}"))
    figures = {"compute_alone_s": run.step_s, "step_s": measured}
    report("steps of a trainer with a part of a core", rows, figures, options.json)


def _train(run: _Run, more: Sequence[str]) -> float:
    """Return the mean seconds of a step after the first epoch."""
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder, "events.jsonl")
        command = [
            *(run.trainer, "-m", "packer.trainer", "--framework", run.framework, "--data", run.data),
            *("--simulate-step", f"{run.batch_size}ms", "--batch-size", str(run.batch_size), "--image-size", "224"),
            *("--epochs", str(run.epochs), "--events", str(events), "--log-steps", "1", *more),
        ]
        done = subprocess.run(
            [*_joining(run.cgroup / "trainer"), *command], capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        assert done.returncode == 0, done.stderr
        print(done.stdout.splitlines()[-1], file=sys.stderr)
        lines = [json.loads(line) for line in events.read_text().splitlines()]
    steps = [line["step_s"] for line in lines if line["event"] == "step" and line["epoch"] > 1]
    return sum(steps) / len(steps)


def _joining(cgroup: Path) -> tuple[str, ...]:
    """Return what starts a command inside a cgroup."""
    return "/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(cgroup)


@contextlib.contextmanager
def _limited(cores: float) -> Iterator[Path]:
    """Make cgroups for a trainer, which gets so many cores, and for data hosts, and remove them."""
    quota = int(cores * _PERIOD_US)
    is_unified = (_ROOT / "cgroup.controllers").exists()
    folder = (_ROOT if is_unified else _ROOT / "cpu") / f"shardpack-feed-{os.getpid()}"
    trainer, hosts = folder / "trainer", folder / "hosts"
    folder.mkdir()
    if is_unified:
        (folder / "cgroup.subtree_control").write_text("+cpu")
    try:
        trainer.mkdir()
        hosts.mkdir()
        if is_unified:
            (folder / "cpu.weight").write_text("10000")
            (trainer / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        else:
            (folder / "cpu.shares").write_text("262144")
            (trainer / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (trainer / "cpu.cfs_quota_us").write_text(str(quota))
        yield folder
    finally:
        for path in (trainer, hosts, folder):
            with contextlib.suppress(FileNotFoundError):
                path.rmdir()


if __name__ == "__main__":
    main()
