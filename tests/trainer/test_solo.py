import importlib
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from packer.reading.dataset import open_dataset
from packer.specs import FormatName
from tests.reading.containers import feeding, place_shards, shard_bytes, write_job
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.datasets import STREAMED
from tests.trainer.serving import accuracy

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _tensorflow():
    pytest.importorskip("tensorflow")


ON_THE_CPU = {"CUDA_VISIBLE_DEVICES": "-1"}
SMALL = ("--framework", "keras", "--loader", "process", "--image-size", "16", "--batch-size", "8")


def train(*arguments, **environ):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "packer.trainer", *SMALL, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | ON_THE_CPU | environ,
    )


def learnable(root, container=FormatName.TFRECORD, seed=0):
    samples = make_samples(96, num_classes=3, first=seed)
    make_dataset(
        root, {"train": deal(samples, 2), "val": deal(make_samples(19, num_classes=3), 2)}, container=container
    )
    return root


@pytest.mark.parametrize("container", STREAMED)
def test_one_process_learns(tmp_path, container):
    data = learnable(tmp_path / "data", container)
    done = train("--data", data, "--epochs", 3, "--eval-split", "val", "--metrics", tmp_path / "metrics.json")
    assert done.returncode == 0, done.stderr
    assert [line.split(" loss")[0] for line in done.stdout.splitlines()] == [
        "rank 0/1 runs on the CPU",
        *(f"rank 0/1 epoch {epoch}/3 steps 12" for epoch in (1, 2, 3)),
    ]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["records"], metrics["steps_per_epoch"], metrics["world"]) == (96, 12, 1)
    losses = [epoch["loss"] for epoch in metrics["epochs"]]
    assert losses[2] < losses[0] / 2
    assert metrics["epochs"][2]["evaluation"]["records"] == 19
    assert metrics["epochs"][2]["evaluation"]["accuracy"] > 0.9


def test_training_goes_on_from_a_checkpoint_as_if_never_interrupted(tmp_path):
    data = learnable(tmp_path / "data")
    whole = train("--data", data, "--epochs", 2, "--metrics", tmp_path / "whole.json")
    first = train("--data", data, "--epochs", 1, "--model-dir", tmp_path / "model")
    second = train("--data", data, "--epochs", 2, "--model-dir", tmp_path / "model", "--metrics", tmp_path / "b.json")
    assert (whole.returncode, first.returncode, second.returncode) == (0, 0, 0), second.stderr
    assert second.stdout.splitlines()[1] == "rank 0/1 goes on after epoch 1"
    expected, resumed = (json.loads((tmp_path / name).read_text())["epochs"] for name in ("whole.json", "b.json"))
    assert [epoch["epoch"] for epoch in resumed] == [2]
    assert resumed[0]["loss"] == pytest.approx(expected[1]["loss"], rel=1e-3)


def test_sigterm_ends_training_and_the_same_command_goes_on(tmp_path):
    command = ["--data", learnable(tmp_path / "data"), "--model-dir", tmp_path / "model", "--epochs"]
    process = subprocess.Popen(
        [sys.executable, "-m", "packer.trainer", *SMALL, *map(str, command), "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ON_THE_CPU,
    )
    assert process.stdout.readline().startswith("rank 0/1 runs on ")
    for epoch in (1, 2):
        assert process.stdout.readline().startswith(f"rank 0/1 epoch {epoch}/1000 ")
    process.send_signal(signal.SIGTERM)
    output, said = process.communicate(timeout=60)
    assert process.returncode == 143
    (step,) = re.fullmatch(r"stopped by SIGTERM after step (\d+), which is saved; .*\n", said).groups()
    epochs_done, steps = divmod(int(step), 12)
    assert epochs_done >= 2 + len(output.splitlines())
    resumed = train(*command, epochs_done + 1)
    place = f"step {step}" if steps else f"epoch {epochs_done}"
    assert resumed.stdout.splitlines()[1] == f"rank 0/1 goes on after {place}"
    assert resumed.returncode == 0


def test_checkpoints_of_another_data_set_are_refused(tmp_path):
    train("--data", learnable(tmp_path / "a"), "--model-dir", tmp_path / "model")
    other = train("--data", learnable(tmp_path / "b", seed=7), "--epochs", 2, "--model-dir", tmp_path / "model")
    assert other.returncode == 1
    assert "expected the data set (digest of manifest.json)" in other.stderr
    assert len(other.stderr.strip().splitlines()) == 1


def test_a_damaged_record_is_one_line_on_standard_error(tmp_path):
    data = learnable(tmp_path / "data")
    shard = data / "train/train-00001-of-00002.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    done = train("--data", data)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "split 'train': rank 0 cannot read batch" in line
    assert "masked crc32c of the payload is" in line


def in_container(tmp_path, container, mode):
    """Return the folder of a job that feeds 96 + 19 records, and its channels' epochs where they are Pipes."""
    data = learnable(tmp_path / "data", container)
    names = ("train0", "val0") if mode == "Pipe" else ("train", "val")
    files = write_job(tmp_path / "base", data, dict.fromkeys(names, (mode, "ShardedByS3Key")))
    shards = {split: entry.shards for split, entry in open_dataset(str(data)).manifest.splits.items()}
    if mode == "File":
        for split in ("train", "val"):
            place_shards(files, split, data, shards[split])
        return tmp_path / "base", []
    return tmp_path / "base", [
        (files.fifo(channel, epoch=epoch), shard_bytes(data, order(shards[split])))
        for epoch, order in enumerate((list, reversed, list))
        for split, channel in (("train", "train0"), ("val", "val0"))
    ]


@pytest.mark.parametrize("container", STREAMED)
@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_a_job_trains_from_its_channels(tmp_path, container, mode):
    base, epochs = in_container(tmp_path, container, mode)
    with feeding(*epochs) as closed_early:
        done = train(
            *("--epochs", 3, "--eval-split", "val", "--metrics", tmp_path / "metrics.json"),
            *("--model-dir", tmp_path / "model", "--export", tmp_path / "export"),
            SAGEMAKER_BASE_DIR=str(base),
        )
    assert done.returncode == 0, done.stderr
    assert closed_early == []
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["records"], metrics["steps_per_epoch"], metrics["world"]) == (96, 12, 1)
    assert metrics["epochs"][2]["loss"] < metrics["epochs"][0]["loss"] / 2
    assert metrics["epochs"][2]["evaluation"]["records"] == 19
    assert not (base / "output/failure").exists()
    tf = importlib.import_module("tensorflow")
    served = tf.saved_model.load(str(tmp_path / "export/1")).signatures["serving_default"]
    assert accuracy(tmp_path / "export", lambda images: served(images=tf.constant(images))["logits"]) > 0.9

    (tmp_path / "model").rename(tmp_path / "moved")  # as SageMaker does, by way of S3
    evaluated = train(
        *("--evaluate-only", "--data", tmp_path / "data", "--eval-split", "val", "--model-dir", tmp_path / "moved"),
        *("--metrics", tmp_path / "evaluation.json"),
    )
    assert evaluated.returncode == 0, evaluated.stderr
    document = json.loads((tmp_path / "evaluation.json").read_text())
    assert document["epochs_done"] == 3
    assert document["evaluation"]["accuracy"] == metrics["epochs"][2]["evaluation"]["accuracy"]
    assert document["evaluation"]["loss"] == pytest.approx(metrics["epochs"][2]["evaluation"]["loss"], rel=1e-4)


def test_a_pipe_that_is_entered_anew_is_warned_of(tmp_path):
    base, epochs = in_container(tmp_path, FormatName.TFRECORD, "Pipe")
    command = ("--eval-split", "val", "--model-dir", tmp_path / "model", "--checkpoint-steps", 5)
    with feeding(*epochs[:2]):
        assert train(*command, SAGEMAKER_BASE_DIR=str(base)).returncode == 0
    (tmp_path / "model/checkpoints/step-00000012.json").unlink()
    with feeding(*epochs[:2]):
        resumed = train(*command, SAGEMAKER_BASE_DIR=str(base))
    assert resumed.returncode == 0, resumed.stderr
    assert "goes on after epoch 0" in resumed.stdout
    assert "epoch 1 begins anew, with 10 steps that were trained before the stop" in resumed.stderr


def test_a_job_whose_channel_nobody_feeds_says_so_and_ends(tmp_path):
    base, _ = in_container(tmp_path, FormatName.TFRECORD, "Pipe")
    done = train("--pipe-timeout", 1, "--eval-split", "val", SAGEMAKER_BASE_DIR=str(base))
    assert done.returncode == 1
    message = "rank 0 cannot read batch 1 of 12: "
    fifo = f"{base}/input/data/train0_0: waited 1 s for the FIFO of a Pipe channel's epoch, which nobody made"
    assert f"{message}{fifo}" in done.stderr
    assert f"{message}{fifo}" in (base / "output/failure").read_text()


def test_a_stream_with_more_than_the_rank_has_is_an_error_before_the_next_epoch(tmp_path):
    data = learnable(tmp_path / "data")
    files = write_job(tmp_path / "base", data, {"train0": ("Pipe", "ShardedByS3Key")})
    content = shard_bytes(data, open_dataset(str(data)).manifest.split("train").shards)
    with feeding((files.fifo("train0", epoch=0), content + content)):
        done = train("--epochs", 2, SAGEMAKER_BASE_DIR=files.base_dir)
    assert done.returncode == 1
    assert "train0_0: expected 96 records of the rank's shards, found more" in done.stderr
    assert len(done.stdout.splitlines()) == 1  # no epoch


def test_nothing_to_evaluate_is_an_error(tmp_path):
    data = learnable(tmp_path / "data")
    done = train("--evaluate-only", "--data", data, "--eval-split", "val", "--model-dir", tmp_path / "model")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1)
    assert "model: expected a checkpoint to evaluate, found none" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environ", "exit_code", "message"),
    [
        (["--epochs", "0"], {}, 2, "error: --epochs: expected at least 1, got 0"),
        (["--batch-size", "97"], {}, 2, "batch size: expected 1 to 96"),
        (["--eval-split", "test"], {}, 1, "split 'test' is not in the data set"),
        ([], {"RANK": "1"}, 2, "RANK is set but LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE not"),
    ],
)
def test_errors_are_one_line(tmp_path, arguments, environ, exit_code, message):
    done = train("--data", learnable(tmp_path), *arguments, **environ)
    assert done.returncode == exit_code
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
