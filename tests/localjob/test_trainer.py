"""The real trainer as a job of two instances under mpirun: without --data it finds its channels and its place."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.localjob.jobs import result_of, run
from tests.reading.make_dataset import deal, make_dataset, make_samples

pytestmark = [pytest.mark.horovod, pytest.mark.slow]

NUM_TRAIN, NUM_VAL = 192, 27
SMALL = (
    "--framework",
    "keras",
    "--loader",
    "process",
    "--epochs",
    2,
    "--batch-size",
    8,
    "--image-size",
    16,
    "--eval-split",
    "val",
)


@pytest.fixture(autouse=True)
def _needs_horovod() -> None:
    pytest.importorskip("horovod.tensorflow")
    if not shutil.which("mpirun"):
        pytest.skip("mpirun is not installed")


def make_learnable(root: Path) -> None:
    splits = {
        "train": deal(make_samples(NUM_TRAIN, num_classes=3), 8),
        "val": deal(make_samples(NUM_VAL, num_classes=3), 8),
    }
    make_dataset(root, splits, world=4)


@pytest.mark.parametrize(("mode", "local_size"), [("File", 1), ("FastFile", 1), ("Pipe", 2)])
def test_a_job_of_two_instances_trains(tmp_path: Path, mode: str, local_size: int) -> None:
    make_learnable(tmp_path / "set")
    options = ("--instances", 2, "--gpus-per-instance", local_size, "--mode", mode, "--mpi", "--json")
    trainer = (sys.executable, "-m", "packer.trainer", *SMALL, "--metrics", tmp_path / "metrics.json")
    done = run(tmp_path / "set", *options, command=trainer)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    world = 2 * local_size
    assert (metrics["world"], metrics["records"]) == (world, NUM_TRAIN)
    assert metrics["steps_per_epoch"] == NUM_TRAIN // world // 8
    assert [epoch["evaluation"]["records"] for epoch in metrics["epochs"]] == [NUM_VAL] * 2
    assert metrics["epochs"][1]["loss"] < metrics["epochs"][0]["loss"]
    if mode == "Pipe":
        # The loader opens the next epoch of a training split ahead.
        for use in result_of(done)["channels"]:
            assert 2 <= use["epochs_read"] <= 3
            assert use["epochs_read"] - use["epochs_closed_early"] >= 2


def test_a_damaged_stream_ends_the_job_and_says_why(tmp_path: Path) -> None:
    make_learnable(tmp_path / "set")
    shard = tmp_path / "set/train/train-00006-of-00008.tfrecord"
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    command = (sys.executable, "-m", "packer.trainer", *SMALL)
    done = run(tmp_path / "set", "--instances", 2, "--mode", "Pipe", "--mpi", "--json", command=command)
    assert done.returncode == 1
    result = result_of(done)
    assert result["ok"] is False
    assert [text for _, text in result["failures"] if "corrupted record" in text or "crc32c" in text], result
