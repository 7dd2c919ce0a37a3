"""PyTorch's trainer under its launchers, on CPUs: what ranks have in common, and how a job ends and goes on."""

import json
import math
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.trainer import rank_jobs
from tests.trainer.rank_jobs import (
    ALONE,
    HOROVODRUN,
    MPIRUN,
    TORCHRUN,
    learnable,
    losses,
    read_events,
    started,
    wait_for,
)

pytestmark = [pytest.mark.torch, pytest.mark.slow]

TRAINER = ("-m", "packer.trainer", "--framework", "torch")
SMALL = ("--image-size", "16", "--batch-size", "4", "--loader", "process", "--threads", "1")
FINAL_STATES = Path(__file__).with_name("final_states.py")
NUM_RECORDS, STEPS = 320, 40
"""Steps of an epoch on two ranks."""


@pytest.fixture(autouse=True)
def _torch():
    pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return learnable(tmp_path_factory.mktemp("data"), num_records=NUM_RECORDS)


@pytest.fixture(params=[TORCHRUN, MPIRUN], ids=lambda launcher: launcher.name)
def launcher(request):
    if request.param is MPIRUN and not shutil.which("mpirun"):
        pytest.skip("mpirun is not installed")
    return request.param


def test_both_ranks_run_equal_steps_and_the_loss_falls(launcher, data, tmp_path):
    ended = rank_jobs.run(
        *(launcher, 2, *TRAINER, "--data", data, *SMALL, "--epochs", 2, "--eval-split", "val"),
        *("--metrics", tmp_path / "metrics.json", "--events", tmp_path / "log.jsonl", "--log-steps", 1),
        *("--tensorboard", tmp_path / "board"),
    )
    assert ended.status == 0, ended.lines
    for rank in (0, 1):
        for epoch in (1, 2):
            expected = f"rank {rank}/2 epoch {epoch}/2 steps {STEPS} loss"
            assert len([line for line in ended.lines if expected in line and "eval steps 4 " in line]) == 1, ended.lines
    assert not [line for line in ended.lines if "Warning" in line], ended.lines
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    first, second = metrics["epochs"]
    assert second["loss"] < first["loss"] / 2
    assert (metrics["world"], metrics["records"], second["evaluation"]["records"]) == (2, NUM_RECORDS, 27)
    assert second["evaluation"]["accuracy"] > 0.9
    assert sorted(losses(tmp_path / "log.jsonl")) == list(range(1, 2 * STEPS + 1))
    assert len(list((tmp_path / "board").iterdir())) == 1


def final_states(launcher, size, data, **options):
    given = [f"{name}={value}" for name, value in options.items()]
    common = ["image_size=16", "batch_size=4", "loader=process", "threads=1", f"data={data}"]
    ended = rank_jobs.run(
        launcher, size, FINAL_STATES, "torch", "", *common, *given, PYTHONPATH=f"{os.getcwd()}:{Path(__file__).parent}"
    )
    assert ended.status == 0, ended.lines
    found = re.findall(r"rank (\d) ends with (\w+)", "\n".join(ended.lines))
    assert sorted(rank for rank, _ in found) == [str(rank) for rank in range(size)]
    return {digest for _, digest in found}


def test_trainable_parameters_are_equal_on_all_ranks_and_with_accumulation(data, tmp_path):
    """Batch a of rank r is that of rank r * A + a, so both learn from the same batches, each normalised by itself."""
    options = {"model": "batch_norm_net:build", "momentum": 0.9, "weight_decay": 0.01, "label_smoothing": 0.1}
    two = final_states(TORCHRUN, 2, data, **options, log=tmp_path / "two.jsonl", log_steps=1)
    assert len(two) == 1
    alone = final_states(ALONE, 1, data, **options, accumulation=2, log=tmp_path / "one.jsonl", log_steps=1)
    ours, theirs = losses(tmp_path / "one.jsonl"), losses(tmp_path / "two.jsonl")
    assert len(ours) == STEPS
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert alone == two


def test_a_killed_rank_ends_the_job_with_a_message(launcher, data, tmp_path):
    log = tmp_path / "log.jsonl"
    arguments = ("--data", data, *SMALL, "--epochs", 1000, "--events", log, "--log-steps", 1)
    with started(launcher, 2, *TRAINER, *arguments) as job:
        wait_for(lambda: len(read_events(log)) > 3)
        os.kill(job.find_rank(1), signal.SIGKILL)
        ended = job.finish()
    assert ended.status != 0
    said = ("another rank stopped", "exited on signal 9", "Signal 9 (SIGKILL) received")
    assert [line for line in ended.lines if any(text in line for text in said)], ended.lines


INTERRUPTED = ("--epochs", 3, *SMALL, "--log-steps", 1, "--decay", "cosine", "--model", "batch_norm_net:build")
INTERRUPTED_PATH = f"{os.getcwd()}:{Path(__file__).parent}"


def interruptible(launcher, size, data, folder, name, *more):
    """Start a job that keeps its state in `folder` and its events in `name`.jsonl."""
    arguments = ("--data", data, *INTERRUPTED, "--events", folder / f"{name}.jsonl", "--model-dir", folder / "model")
    return started(launcher, size, *TRAINER, *arguments, *more, PYTHONPATH=INTERRUPTED_PATH)


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """Losses by step of a job of two ranks that nobody interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with interruptible(TORCHRUN, 2, data, folder, "whole") as job:
        assert job.finish().status == 0
    found = losses(folder / "whole.jsonl")
    assert sorted(found) == list(range(1, 3 * STEPS + 1))
    return found


def test_a_rank_that_is_told_to_end_has_all_save_after_the_same_step(launcher, data, tmp_path, undisturbed):
    with interruptible(launcher, 2, data, tmp_path, "first") as job:
        wait_for(lambda: len(read_events(tmp_path / "first.jsonl")) > STEPS + 5)
        os.kill(job.find_rank(1), signal.SIGTERM)
        ended = job.finish()
    assert ended.status != 0
    said = re.findall(r"stopped by SIGTERM after step (\d+), which is saved", "\n".join(ended.lines))
    assert len(said) == 2, ended.lines
    assert len(set(said)) == 1
    with interruptible(launcher, 2, data, tmp_path, "second") as job:
        ended = job.finish()
    assert ended.status == 0, ended.lines
    assert min(losses(tmp_path / "second.jsonl")) == int(said[0]) + 1
    assert losses(tmp_path / "first.jsonl", tmp_path / "second.jsonl") == undisturbed


def test_a_killed_job_goes_on_from_the_newest_whole_checkpoint(data, tmp_path, undisturbed):
    with interruptible(TORCHRUN, 2, data, tmp_path, "first", "--checkpoint-steps", 7) as job:
        wait_for(lambda: len(read_events(tmp_path / "first.jsonl", "checkpoint")) >= 3)
        job.kill()
    newest = max((tmp_path / "model/checkpoints").glob("*.torch"))
    newest.write_bytes(newest.read_bytes()[:-100])
    with interruptible(TORCHRUN, 2, data, tmp_path, "second", "--checkpoint-steps", 7) as job:
        ended = job.finish()
    assert ended.status == 0, ended.lines
    (warning,) = [line for line in ended.lines if line.startswith("warning: ")]
    assert f"{newest.name}: incomplete checkpoint passed over: expected " in warning
    second = losses(tmp_path / "second.jsonl")
    assert 1 < min(second) < int(newest.stem.removeprefix("step-"))
    assert losses(tmp_path / "first.jsonl") | second == undisturbed


def test_another_number_of_ranks_goes_on_with_the_same_samples(data, tmp_path):
    """Four ranks of half the batch: each step's loss is the mean over the same samples, added in another order."""
    model = ("--model", "small", "--epochs", 3)
    with interruptible(
        TORCHRUN, 2, data, tmp_path, "whole", *model, "--checkpoint-steps", 55, "--keep-checkpoints", 9
    ) as job:
        assert job.finish().status == 0
    for path in (tmp_path / "model/checkpoints").glob("step-*"):
        if "00000055" not in path.name:
            path.unlink()
    four = (*model, "--batch-size", 2, "--rate-batch", 4)
    with interruptible(TORCHRUN, 4, data, tmp_path, "four", *four) as job:
        ended = job.finish()
    assert ended.status == 0, ended.lines
    ours, theirs = losses(tmp_path / "four.jsonl"), losses(tmp_path / "whole.jsonl")
    assert sorted(ours) == list(range(56, 3 * STEPS + 1))
    for step, loss in ours.items():
        assert math.isclose(loss, theirs[step], rel_tol=1e-2, abs_tol=1e-4), step


@pytest.mark.horovod
@pytest.mark.parametrize("launcher", [HOROVODRUN, MPIRUN], ids=lambda launcher: launcher.name)
def test_horovod_gives_all_ranks_the_same_parameters(launcher, data, tmp_path):
    pytest.importorskip("horovod.torch")
    if not shutil.which(launcher.head[0]):
        pytest.skip(f"{launcher.name} is not installed")
    options = ("model=batch_norm_net:build", "image_size=16", "batch_size=4", "loader=process", "threads=1")
    log = tmp_path / "log.jsonl"
    ended = rank_jobs.run(
        *(launcher, 2, FINAL_STATES, "torch", "horovod", *options, f"data={data}", f"log={log}", "log_steps=1"),
        PYTHONPATH=f"{os.getcwd()}:{Path(__file__).parent}",
    )
    assert ended.status == 0, ended.lines
    assert len(losses(log)) == STEPS
    digests = re.findall(r"ends with (\w+)", "\n".join(ended.lines))
    assert len(digests) == 2
    assert len(set(digests)) == 1
