"""Real jobs of two ranks under both launchers. Every one has a hard limit, since the failure to fear is a hang."""

import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path

import pytest

from packer.reading.dataset import open_dataset
from tests.reading.containers import feeding, shard_bytes, write_job
from tests.tools.datasets import STREAMED
from tests.trainer import rank_jobs
from tests.trainer.rank_jobs import HOROVODRUN, MPIRUN, learnable

pytestmark = [pytest.mark.horovod, pytest.mark.slow]

OWN_DATA = f'exec {sys.executable} -m packer.trainer --data "$0/${{HOROVOD_RANK:-$OMPI_COMM_WORLD_RANK}}" "$@"'
"""A shell command that gives each rank a folder of its own."""


@pytest.fixture(params=[HOROVODRUN, MPIRUN], ids=lambda launcher: launcher.name)
def launch(request):
    """A function that runs a command as two ranks and returns its exit status and lines."""
    pytest.importorskip("horovod.tensorflow")
    if not shutil.which(request.param.head[0]):
        pytest.skip(f"{request.param.name} is not installed")

    def run(*command, **environ):
        bare = dataclasses.replace(request.param, python=())
        ended = rank_jobs.run(bare, 2, *command, **environ)
        return ended.status, ended.lines

    return run


SMALL = ("--framework", "keras", "--loader", "process", "--image-size", "16", "--batch-size", "8")


@pytest.mark.parametrize("container", STREAMED)
def test_both_ranks_run_equal_steps_and_the_loss_falls(launch, tmp_path, container):
    data = learnable(tmp_path / "data", container=container)
    status, lines = launch(
        *(sys.executable, "-m", "packer.trainer", "--data", data, "--epochs", "2", "--eval-split", "val", *SMALL),
        *("--metrics", tmp_path / "metrics.json", "--model-dir", tmp_path / "model"),
    )
    assert status == 0, lines
    for rank in (0, 1):
        for epoch in (1, 2):
            expected = f"rank {rank}/2 epoch {epoch}/2 steps 12 loss"
            assert len([line for line in lines if expected in line and "eval steps 2 " in line]) == 1, lines
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    losses = [epoch["loss"] for epoch in metrics["epochs"]]
    assert losses[1] < losses[0] / 2
    assert (metrics["world"], metrics["records"], metrics["steps_per_epoch"]) == (2, 192, 12)
    assert metrics["epochs"][1]["evaluation"]["records"] == 27
    assert metrics["epochs"][1]["learning_rate"] == pytest.approx(0.1)
    assert (tmp_path / "model/checkpoints/step-00000024.json").exists()


def test_ranks_of_a_job_read_a_pipe_each(launch, tmp_path):
    data = learnable(tmp_path / "data")
    pipes = ("train0", "train1", "val0", "val1")
    files = write_job(tmp_path / "base", data, dict.fromkeys(pipes, ("Pipe", "ShardedByS3Key")))
    splits = open_dataset(str(data)).manifest.splits
    fed = [
        [
            (files.fifo(f"{split}{local_rank}", epoch=epoch), shard_bytes(data, splits[split].shards[local_rank::2]))
            for epoch in range(2)
            for split in ("train", "val")
        ]
        for local_rank in range(2)
    ]
    with feeding(*fed[0]), feeding(*fed[1]):
        status, lines = launch(
            *(sys.executable, "-m", "packer.trainer", "--epochs", "2", "--eval-split", "val", *SMALL),
            *("--metrics", tmp_path / "metrics.json"),
            SAGEMAKER_BASE_DIR=files.base_dir,
        )
    assert status == 0, lines
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["world"], metrics["records"], metrics["steps_per_epoch"]) == (2, 192, 12)
    assert metrics["epochs"][1]["evaluation"]["records"] == 27
    assert metrics["epochs"][1]["loss"] < metrics["epochs"][0]["loss"] / 2


def test_a_rank_whose_pipe_is_torn_ends_the_job_and_says_why(launch, tmp_path):
    data = learnable(tmp_path / "data")
    files = write_job(tmp_path / "base", data, dict.fromkeys(("train0", "train1"), ("Pipe", "ShardedByS3Key")))
    shards = open_dataset(str(data)).manifest.split("train").shards
    whole, torn = (shard_bytes(data, shards[local_rank::2]) for local_rank in range(2))
    with feeding((files.fifo("train0", epoch=0), whole)), feeding((files.fifo("train1", epoch=0), torn[:-100])):
        status, lines = launch(sys.executable, "-m", "packer.trainer", *SMALL, SAGEMAKER_BASE_DIR=files.base_dir)
    assert status != 0
    assert [line for line in lines if "rank 1 cannot read" in line and "train1_0: record 95 at byte" in line], lines
    assert (tmp_path / "base/output/failure").read_text().startswith("rank 1 of 2: ")


def test_ranks_with_different_data_sets_end_with_the_same_named_error(launch, tmp_path):
    learnable(tmp_path / "0")
    learnable(tmp_path / "1", num_records=96)
    started_s = time.monotonic()
    status, lines = launch("bash", "-c", OWN_DATA, tmp_path, *SMALL)
    assert status != 0
    said = [line for line in lines if "error: ranks disagree on the data set (digest of manifest.json)" in line]
    assert len(said) == 2, lines
    assert not [line for line in lines if "epoch 1/" in line]
    assert time.monotonic() - started_s < 40


def test_a_rank_without_its_data_set_ends_all_ranks_with_its_reason(launch, tmp_path):
    learnable(tmp_path / "0")
    status, lines = launch("bash", "-c", OWN_DATA, tmp_path, *SMALL)
    assert status != 0
    assert (
        len([line for line in lines if "cannot start" in line and "/1: expected a finished data set" in line]) == 2
    ), lines


def test_a_rank_that_fails_in_the_middle_ends_the_job(launch, tmp_path):
    learnable(tmp_path / "0")
    learnable(tmp_path / "1")
    shard = tmp_path / "1/train/train-00003-of-00004.tfrecord"
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    status, lines = launch("bash", "-c", OWN_DATA, tmp_path, *SMALL)
    assert status != 0
    assert [line for line in lines if "rank 1 cannot read batch" in line and "masked crc32c" in line], lines


def test_ranks_speak_to_each_other(launch):
    status, lines = launch(sys.executable, Path(__file__).with_name("collective_worker.py"), "all", "keras")
    assert status == 0, lines
    assert len([line for line in lines if line.endswith(": all is right")]) == 2, lines


def test_a_rank_that_no_longer_answers_does_not_hold_the_others_for_ever(launch):
    limits = {"HOROVOD_STALL_CHECK_TIME_SECONDS": "2", "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "4"}
    started_s = time.monotonic()
    status, lines = launch(sys.executable, Path(__file__).with_name("collective_worker.py"), "stall", "keras", **limits)
    assert status != 0
    said = ("error: rank 0: another rank stopped", "error: rank 0 waited 14 s for what each rank says")
    assert [line for line in lines if any(text in line for text in said)], lines
    assert time.monotonic() - started_s < 40
