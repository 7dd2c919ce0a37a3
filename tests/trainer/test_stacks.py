"""Each framework on two ranks: what ranks have in common, and how a job that was disturbed goes on.

A job takes 5 to 15 seconds, most of it start-up, so each of them shows all that it can.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.trainer.rank_jobs import ALONE, learnable, losses, read_events, started, wait_for
from tests.trainer.stacks import PATHS, STACKS, Stack, digests

pytestmark = pytest.mark.slow

EPOCHS, STEPS = 3, 40
CHECKPOINT_STEPS = 7
LOST = ("another rank stopped", "exited on signal 9", "Signal 9 (SIGKILL) received")
LOST_LIMIT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """A job of two ranks that nobody disturbs."""

    stack: Stack
    options: tuple[str, ...]
    losses: dict[int, float]
    digest: str
    lines: list[str]
    folder: Path


@pytest.fixture(scope="module", params=STACKS)
def undisturbed(request, tmp_path_factory) -> Undisturbed:
    stack: Stack = request.param
    stack.skip_if_missing()
    folder: Path = tmp_path_factory.mktemp("undisturbed")
    learnable(folder / "data", num_records=STEPS * 8, container=stack.container)
    options = (
        *(f"data={folder}/data", f"model={stack.model}", f"epochs={EPOCHS}", "batch_size=4", "image_size=16"),
        *("decay=cosine", "weight_decay=0.01", "label_smoothing=0.1", "loader=process", "threads=1", "log_steps=1"),
    )
    ended = stack.train(stack.launcher, 2, (*options, *watching(folder)))
    found = digests(ended, 2)
    assert len(found) == 1, "the ranks' parameters differ"
    return Undisturbed(
        stack=stack,
        options=options,
        losses=losses(folder / "log.jsonl"),
        digest=found.pop(),
        lines=ended.lines,
        folder=folder,
    )


def watching(folder: Path) -> tuple[str, ...]:
    """Return options that tell all of a job."""
    return "eval_split=val", f"log={folder}/log.jsonl", f"metrics={folder}/metrics.json", f"tensorboard={folder}/board"


def test_ranks_take_equal_steps_and_the_loss_falls(undisturbed):
    for rank in (0, 1):
        for epoch in range(1, EPOCHS + 1):
            said = f"rank {rank}/2 epoch {epoch}/{EPOCHS} steps {STEPS} loss"
            found = [line for line in undisturbed.lines if said in line and "eval steps 4 " in line]
            assert len(found) == 1, undisturbed.lines
    chatter = ("Warning", "storage type")
    assert not [line for line in undisturbed.lines if any(text in line for text in chatter)], undisturbed.lines
    assert sorted(undisturbed.losses) == list(range(1, EPOCHS * STEPS + 1))
    metrics = json.loads((undisturbed.folder / "metrics.json").read_text())
    first, *_, last = metrics["epochs"]
    assert last["loss"] < 0.8 * first["loss"]
    assert (metrics["world"], metrics["records"], last["evaluation"]["records"]) == (2, STEPS * 8, 27)
    assert last["evaluation"]["accuracy"] > 0.6  # of three classes
    assert len(list((undisturbed.folder / "board").iterdir())) == 1


def test_one_rank_that_accumulates_learns_the_same(undisturbed, tmp_path):
    """Batch a of rank r is that of rank r * A + a, so both learn from the same batches, each normalised by itself."""
    stack = undisturbed.stack
    ended = stack.train(ALONE, 1, (*undisturbed.options, "accumulation=2", f"log={tmp_path}/log.jsonl"))
    assert losses(tmp_path / "log.jsonl") == pytest.approx(undisturbed.losses, rel=1e-3)
    assert digests(ended, 1) == {undisturbed.digest}


def interruptible(undisturbed: Undisturbed, folder: Path, name: str):
    """Start a job that keeps its state in `folder` and its events in `name`.jsonl."""
    stack = undisturbed.stack
    options = (*undisturbed.options, *keeping(folder, name))
    return started(stack.launcher, 2, *stack.command(options), PYTHONPATH=PATHS)


def keeping(folder: Path, name: str) -> tuple[str, ...]:
    return f"model_dir={folder}/model", f"checkpoint_steps={CHECKPOINT_STEPS}", f"log={folder}/{name}.jsonl"


def test_a_job_that_is_told_to_end_and_then_loses_a_rank_goes_on_bit_by_bit(undisturbed, tmp_path):
    """SIGTERM to one rank; then kill -9 of one, and its newest checkpoint torn; then to the end."""
    logs = [tmp_path / f"{name}.jsonl" for name in ("first", "second", "third")]
    with interruptible(undisturbed, tmp_path, "first") as job:
        wait_for(lambda: len(read_events(logs[0])) > 10)
        os.kill(job.find_rank(1), signal.SIGTERM)
        ended = job.finish()
    assert ended.status != 0
    said = re.findall(r"stopped by SIGTERM after step (\d+), which is saved", "\n".join(ended.lines))
    assert len(said) == 2, ended.lines
    assert len(set(said)) == 1

    with interruptible(undisturbed, tmp_path, "second") as job:
        wait_for(lambda: len(read_events(logs[1], "checkpoint")) >= 2)
        os.kill(job.find_rank(1), signal.SIGKILL)
        killed_s = time.monotonic()
        ended = job.finish()
    assert ended.status != 0
    assert time.monotonic() - killed_s < LOST_LIMIT_S
    assert [line for line in ended.lines if any(text in line for text in LOST)], ended.lines
    assert min(losses(logs[1])) == int(said[0]) + 1

    newest = max((tmp_path / "model/checkpoints").glob(f"*.{undisturbed.stack.framework}"))
    newest.write_bytes(newest.read_bytes()[:-100])
    ended = undisturbed.stack.train(undisturbed.stack.launcher, 2, (*undisturbed.options, *keeping(tmp_path, "third")))
    assert digests(ended, 2) == {undisturbed.digest}
    assert [line for line in ended.lines if f"{newest.name}: incomplete checkpoint passed over: expected " in line]
    assert int(said[0]) < min(losses(logs[2])) < int(newest.stem.removeprefix("step-"))
    assert losses(*logs) == undisturbed.losses
