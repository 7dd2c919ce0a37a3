"""How steadily batches come:  python -m tests.benchmarks.loader_pace DATASET [--rounds 5] [--where subprocess]

DATASET is packed photographs, as for `loader_cost`. On a machine that does nothing else it measures, in batches of 64
at 224 pixels:

threads     images/s of two threads over those of one, an epoch each in turns, and of the codecs in two processes over
            one: what the machine's cores cost each other when both work
borders     the wait for the first batch of an epoch over the usual one, at full speed: the median of 10 borders
sleeper     the share of its time that a loop waits which sleeps between batches, so that it asks for 0.6 of the images
            that were measured at full speed, over four borders
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from packer import Loader
from tests.benchmarks.measure import create_parser, in_turns, median, report, spread

BATCH_SIZE, IMAGE_PX = 64, 224
NUM_BORDERS, SLEEPERS_BORDERS = 10, 4
ASKED_SHARE = 0.6


def open_loader(dataset: str, threads: int, where: str) -> Loader:
    return Loader(
        dataset, "train", batch_size=BATCH_SIZE, image_px=IMAGE_PX, min_area=0.08, threads=threads, where=where
    )


def run_epoch(loader: Loader, batches: Iterator[Any]) -> float:
    """Take an epoch's batches; return images/s. The first one is taken before the clock starts, and not counted."""
    next(batches)
    started_s = time.perf_counter()
    for _ in range(loader.steps - 1):
        next(batches)
    return (loader.steps - 1) * BATCH_SIZE / (time.perf_counter() - started_s)


def measure_threads(dataset: str, where: str, rounds: int) -> dict[str, list[float]]:
    """Return images/s by number of threads, each loader made anew so that none works in another's turn."""

    def run(threads: int) -> float:
        with open_loader(dataset, threads, where) as loader:
            batches = iter(loader)
            run_epoch(loader, batches)
            return run_epoch(loader, batches)

    calls: dict[str, Callable[[], float]] = {f"threads {number}": lambda n=number: run(n) for number in (1, 2)}
    calls |= {f"codecs {number}": lambda n=number: run_codecs(dataset, n) for number in (1, 2)}
    return in_turns(calls, rounds)


def run_codecs(dataset: str, num_processes: int) -> float:
    """Return images/s of the codecs in a plain loop, in so many processes at once."""
    command = [sys.executable, "tests/benchmarks/loader_contestant.py", "floor", dataset]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={"PYTHONPATH": "."})
        for _ in range(num_processes)
    ]
    try:
        for process in running:
            assert process.stdout
            process.stdout.readline()
        started_s = time.perf_counter()
        for process in running:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        for process in running:
            assert process.stdout
            process.stdout.readline()
        elapsed_s = time.perf_counter() - started_s
    finally:
        for process in running:
            process.kill()
            process.wait()
    return num_processes / elapsed_s  # epochs


def measure_borders(dataset: str, threads: int, where: str) -> tuple[list[float], float]:
    """Return the waits for first batches, and the median of all waits, in seconds."""
    waits: dict[bool, list[float]] = {True: [], False: []}
    with open_loader(dataset, threads, where) as loader:
        last_s = 0.0
        for batch in loader:
            now_s = time.perf_counter()
            if batch.epoch:
                waits[batch.step == 0].append(now_s - last_s)
            last_s = now_s
            if len(waits[True]) == NUM_BORDERS:
                break
    return waits[True], median(waits[False])


def measure_sleeper(dataset: str, threads: int, where: str, images_per_s: float) -> float:
    """Return the share of its time that a loop waits which sleeps between batches."""
    step_s = BATCH_SIZE / (ASKED_SHARE * images_per_s)
    with open_loader(dataset, threads, where) as loader:
        batches = iter(loader)
        for _ in itertools.islice(batches, loader.steps // 2):
            time.sleep(step_s)
        loader.reset_meter()
        for _ in itertools.islice(batches, loader.steps * SLEEPERS_BORDERS):
            time.sleep(step_s)
        return loader.meter.waited_share


def main() -> None:
    parser = create_parser("how steadily batches come")
    parser.add_argument("dataset")
    parser.add_argument("--where", default="subprocess", choices=("subprocess", "process"))
    given = parser.parse_args()
    speeds = measure_threads(given.dataset, given.where, given.rounds)
    ratios = {
        what: [two / one for one, two in zip(speeds[f"{what} 1"], speeds[f"{what} 2"], strict=True)]
        for what in ("threads", "codecs")
    }
    firsts, usual_s = measure_borders(given.dataset, 2, given.where)
    borders = [first / usual_s for first in firsts]
    waited = [measure_sleeper(given.dataset, 2, given.where, median(speeds["threads 2"])) for _ in range(given.rounds)]
    rows = [
        ("one thread", f"{median(speeds['threads 1']):,.0f}/s", spread(speeds["threads 1"])),
        ("two threads", f"{median(speeds['threads 2']):,.0f}/s", spread(speeds["threads 2"])),
        ("two threads over one", f"{median(ratios['threads']):.2f}", spread(ratios["threads"])),
        ("codecs, two processes over one", f"{median(ratios['codecs']):.2f}", spread(ratios["codecs"])),
        ("first batch over the usual one", f"{median(borders):.2f}", spread(borders)),
        (f"waited, asking for {ASKED_SHARE:g}", f"{median(waited):.2%}", f"{min(waited):.2%} - {max(waited):.2%}"),
    ]
    figures = {"images_per_s": speeds, "ratios": ratios, "borders": borders, "waited_share": waited}
    report("loader_pace", rows, figures, given.json)


if __name__ == "__main__":
    main()
