"""The real trainer as a job of two instances under mpirun: without --data it finds its channels and its place."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.localjob.jobs import result_of, run
from tests.reading.make_dataset import deal, make_dataset, make_samples

pytestmark = pytest.mark.slow

NUM_TRAIN, NUM_VAL = 192, 27
SMALL = ("--loader", "process", "--epochs", 2, "--batch-size", 8, "--image-size", 16, "--eval-split", "val")
KERAS = ("--mpi", "keras", "horovod.tensorflow")
TORCH = ("", "torch", "torch")
"""How ranks are started: without MPI as processes with torchrun's variables; a framework; a module it needs."""


def options_of(launch: str, framework: str, module: str) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Return options of the job and of the trainer; skip the test where something is missing."""
    pytest.importorskip(module)
    if launch and not shutil.which("mpirun"):
        pytest.skip("mpirun is not installed")
    return (launch,) if launch else (), (sys.executable, "-m", "packer.trainer", "--framework", framework, *SMALL)


def make_learnable(root: Path) -> None:
    splits = {
        "train": deal(make_samples(NUM_TRAIN, num_classes=3), 8),
        "val": deal(make_samples(NUM_VAL, num_classes=3), 8),
    }
    make_dataset(root, splits, world=4)


@pytest.mark.parametrize(
    ("started", "mode", "local_size"),
    [
        pytest.param(KERAS, "File", 1, marks=pytest.mark.horovod),
        pytest.param(KERAS, "FastFile", 1, marks=pytest.mark.horovod),
        pytest.param(KERAS, "Pipe", 2, marks=pytest.mark.horovod),
        pytest.param(TORCH, "File", 1, marks=pytest.mark.torch),
        pytest.param(TORCH, "Pipe", 1, marks=pytest.mark.torch),
    ],
    ids=str,
)
def test_a_job_of_two_instances_trains(
    tmp_path: Path, started: tuple[str, str, str], mode: str, local_size: int
) -> None:
    launch, trainer = options_of(*started)
    make_learnable(tmp_path / "set")
    options = ("--instances", 2, "--gpus-per-instance", local_size, "--mode", mode, *launch, "--json")
    done = run(tmp_path / "set", *options, command=(*trainer, "--metrics", tmp_path / "metrics.json"))
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


@pytest.mark.horovod
def test_a_damaged_stream_ends_the_job_and_says_why(tmp_path: Path) -> None:
    launch, trainer = options_of(*KERAS)
    make_learnable(tmp_path / "set")
    shard = tmp_path / "set/train/train-00006-of-00008.tfrecord"
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    done = run(tmp_path / "set", "--instances", 2, "--mode", "Pipe", *launch, "--json", command=trainer)
    assert done.returncode == 1
    result = result_of(done)
    assert result["ok"] is False
    assert [text for _, text in result["failures"] if "corrupted record" in text or "crc32c" in text], result
