"""Packing photographs: every packer in turns, its cost, its output and how good it is."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import in_turns, median, run_process
from tests.benchmarks.peers.corpora import Corpus, part_of
from tests.benchmarks.peers.environments import InstallError
from tests.benchmarks.peers.packers import PACKERS, SHARDPACK, FailedError, Job, Packer
from tests.benchmarks.peers.quality import Quality, extract, measure_quality

_HERE = Path(__file__).parent
_LIMIT_S = 600
_WARM_UP_IMAGES = 24
PART = 5
"""Start-up is told from the cost per image by packing a fifth of the corpus as well."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """All runs of one packer with one number of workers, over the whole corpus and over a part of it."""

    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    part_cpu_s: list[float] = field(default_factory=list)
    part_wall_s: list[float] = field(default_factory=list)
    num_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class Contest:
    """Results of one corpus, by packer and number of workers."""

    corpus: Corpus
    part: Corpus
    shards: int
    outcomes: dict[tuple[str, int], Outcome]
    qualities: dict[str, Quality]
    errors: dict[str, str]

    def figures(self, name: str, workers: int) -> dict[str, Any]:
        """Return medians over the rounds; those after start-up only where a part was packed too."""
        outcome = self.outcomes[name, workers]
        num_images, num_more = len(self.corpus.images), len(self.corpus.images) - len(self.part.images)
        figures: dict[str, Any] = {
            "images_per_s": num_images / median(outcome.wall_s),
            "cpu_ms_per_image": 1000 * median(outcome.cpu_s) / num_images,
            "output_bytes": outcome.num_bytes,
            "wall_s": outcome.wall_s,
            "cpu_s": outcome.cpu_s,
        }
        if outcome.part_cpu_s:
            more_cpu_s = median([a - b for a, b in zip(outcome.cpu_s, outcome.part_cpu_s, strict=True)])
            more_wall_s = median([a - b for a, b in zip(outcome.wall_s, outcome.part_wall_s, strict=True)])
            figures["cpu_ms_per_image_after_start_up"] = 1000 * more_cpu_s / num_more
            figures["images_per_s_after_start_up"] = num_more / more_wall_s if more_wall_s > 0 else math.nan
        return figures

    def to_json(self) -> dict[str, Any]:
        measured = [key for key, outcome in self.outcomes.items() if outcome.wall_s]
        return {
            "num_images": len(self.corpus.images),
            "source_bytes": self.corpus.num_bytes,
            "shards": self.shards,
            "packers": {f"{name}, {workers}": self.figures(name, workers) for name, workers in measured},
            "quality": {name: asdict(quality) for name, quality in self.qualities.items()},
            "errors": self.errors,
        }


def hold_contest(corpus: Corpus, work: Path, *, rounds: int, shards: int, compare: int) -> Contest:
    """Run all packers over a corpus; the folder `work` is new and is left for the caller to remove."""
    part = part_of(corpus, work / "part", count=max(1, len(corpus.images) // PART))
    tiny = part_of(corpus, work / "tiny", count=_WARM_UP_IMAGES)
    contest = Contest(corpus=corpus, part=part, shards=shards, outcomes={}, qualities={}, errors={})
    with _served(corpus.folder) as port:

        def job_of(subject: Corpus, workers: int) -> Job:
            return Job(corpus=subject, dest=work / "packed", workers=workers, shards=shards, port=port)

        for packer in PACKERS:
            _first_run(contest, packer, job_of(tiny, 1))
        calls: dict[str, Callable[[], float]] = {}
        for packer in PACKERS:
            for workers in range(1, packer.max_workers + 1):
                contest.outcomes[packer.name, workers] = Outcome()
                jobs = (job_of(corpus, workers), job_of(part, workers))
                calls[f"{packer.name}, {workers}"] = _turn(contest, packer, jobs, compare=compare)
        in_turns(calls, rounds)
    if SHARDPACK in contest.errors:
        sys.exit(f"{SHARDPACK}: {contest.errors[SHARDPACK]}")
    return contest


def pack_once(packer: Packer, job: Job) -> dict[str, float]:
    """Run one command into an empty destination and return its cost. Raises FailedError, InstallError."""
    shutil.rmtree(job.dest, ignore_errors=True)
    if packer.name != SHARDPACK:
        packer.prepare(job)
    log = job.dest.with_suffix(".log")
    command = [sys.executable, str(_HERE / "tree_cost.py"), str(log), str(_LIMIT_S), *packer.command(job)]
    cost: dict[str, float] = json.loads(run_process(command).stdout)
    if cost["status"]:
        raise FailedError(_last_words(log))
    return cost


def _first_run(contest: Contest, packer: Packer, job: Job) -> None:
    """Pack a few images: fills caches, and tells whether the peer works here at all."""
    try:
        pack_once(packer, job)
        folder = job.dest.with_suffix(".extracted")
        packed = extract(packer, job.dest, folder)
        shutil.rmtree(folder, ignore_errors=True)
        if len(packed) != len(job.corpus.images):
            raise FailedError(f"{len(packed)} of {len(job.corpus.images)} images came out: " + _log_of(job))
    except (FailedError, InstallError) as error:
        contest.errors[packer.name] = str(error)
    except subprocess.CalledProcessError as error:
        contest.errors[packer.name] = (error.stderr or str(error)).strip().splitlines()[-1]


def _turn(contest: Contest, packer: Packer, jobs: tuple[Job, Job], *, compare: int) -> Callable[[], float]:
    whole, part = jobs
    outcome = contest.outcomes[packer.name, whole.workers]

    def turn() -> float:
        if packer.name in contest.errors:
            return math.nan
        print(f"{whole.corpus.name}: {packer.name}, workers: {whole.workers}", file=sys.stderr, flush=True)
        try:
            if packer.fit:
                cost = pack_once(packer, part)
                outcome.part_cpu_s.append(cost["cpu_s"])
                outcome.part_wall_s.append(cost["wall_s"])
            cost = pack_once(packer, whole)
        except FailedError as error:
            contest.errors[packer.name] = str(error)
            return math.nan
        outcome.cpu_s.append(cost["cpu_s"])
        outcome.wall_s.append(cost["wall_s"])
        outcome.num_bytes = _size_of(whole.dest)
        if packer.name not in contest.qualities:
            _judge(contest, packer, whole, compare)
        return cost["cpu_s"]

    return turn


def _judge(contest: Contest, packer: Packer, job: Job, compare: int) -> None:
    folder = job.dest.with_suffix(".extracted")
    packed = extract(packer, job.dest, folder)
    contest.qualities[packer.name] = measure_quality(job.corpus, packed, count=compare)
    shutil.rmtree(folder, ignore_errors=True)


def _size_of(folder: Path) -> int:
    """Return the bytes of all files, the lists that we made left out."""
    ours = (".lst", ".txt")
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix not in ours)


def _log_of(job: Job) -> str:
    return _last_words(job.dest.with_suffix(".log"))


def _last_words(log: Path) -> str:
    """Return the last line that names an error, else the last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line or "error:" in line]
    return (named or lines or ["no output"])[-1][:300]


@contextmanager
def _served(folder: Path) -> Iterator[int]:
    """Serve a folder from a process of its own and give the port."""
    command = [sys.executable, str(_HERE / "file_server.py"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()
