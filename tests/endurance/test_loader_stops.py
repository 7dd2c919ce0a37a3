"""Loops that are killed at random moments, and go on from the state they wrote last, with other ranks and threads."""

import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from packer.loading.loader import Loader
from tests.endurance.conftest import rounds
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.children import fork

pytestmark = pytest.mark.slow

WORLDS = (1, 2, 3, 4, 6, 8)
GLOBAL_BATCH = 24
NUM_RECORDS = 8 * 45
STEPS = 2 * (NUM_RECORDS // GLOBAL_BATCH) + 5
"""More than two epochs."""
LIMIT_S = 600


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_dataset(folder, {"train": deal(make_samples(NUM_RECORDS), 8)}, world=4)
    return folder


@pytest.fixture(scope="module")
def expected(data: Path) -> list[str]:
    """What each step has, as one rank sees it that is never stopped."""
    whole = steps(data, None, world=1, threads=2, where="process")
    return [digest for _, (digest, _) in zip(range(STEPS), whole, strict=False)]


def steps(
    data: Path, state: dict[str, object] | None, *, world: int, threads: int, where: str
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield, step by step, a digest of the samples of all ranks together, and the state after them."""
    loaders = [
        Loader(
            str(data),
            "train",
            batch_size=GLOBAL_BATCH // world,
            image_px=16,
            rank=rank,
            world=world,
            threads=threads,
            where=where,
            shuffle_records=16,
        )
        for rank in range(world)
    ]
    if state is not None:
        for loader in loaders:
            loader.load_state_dict(state)
    for batches in zip(*loaders, strict=True):
        samples = sorted(
            (int(label), image.tobytes())
            for batch in batches
            for label, image in zip(batch.labels, batch.images, strict=True)
        )
        found = hashlib.sha256(b"".join(b"%d" % label + image for label, image in samples)).hexdigest()
        states = [loader.state_dict() for loader in loaders]
        assert all(one == states[0] for one in states)
        yield found, states[0]


def write_steps(journal: Path, data: Path, state: dict[str, object] | None, **options: object) -> None:
    with journal.open("a") as file:
        for digest, after in steps(data, state, **options):  # type: ignore[arg-type]
            print(json.dumps([digest, after]), file=file, flush=True)


def whole_lines(journal: Path) -> list[str]:
    return journal.read_text().splitlines(keepends=True) if journal.exists() else []


@pytest.mark.parametrize("seed", rounds(4, 200))
def test_a_loop_that_is_killed_goes_on_bit_by_bit(data: Path, expected: list[str], seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    state, done = None, 0
    for number in range(3):  # killed twice, then left to reach the end, or killed again
        options = {
            "world": chance.choice(WORLDS),
            "threads": chance.randint(1, 4),
            "where": chance.choice(["process", "process", "process", "subprocess"]),
        }
        journal = tmp_path / f"{number}.jsonl"
        child = fork(
            lambda journal=journal, state=state, options=options: write_steps(journal, data, state, **options),
            tmp_path / "log",
        )
        wanted = chance.randint(1, (STEPS - done) // 2)
        deadline_s = time.monotonic() + LIMIT_S
        while len(whole_lines(journal)) < wanted:
            assert time.monotonic() < deadline_s, child.log.read_text()
            assert os.waitpid(child.pid, os.WNOHANG)[0] == 0, child.log.read_text()
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.02))
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        lines = [json.loads(line) for line in whole_lines(journal) if line.endswith("\n")]
        for index, (digest, _) in enumerate(lines[: STEPS - done], done):
            assert digest == expected[index], f"step {index} after {done}, {options}"
        done, state = done + len(lines), lines[-1][1]
        assert (state["steps"], state["epoch"]) == (done, done // (NUM_RECORDS // GLOBAL_BATCH))
        if done >= STEPS:
            return
