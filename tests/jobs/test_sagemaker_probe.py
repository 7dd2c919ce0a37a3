"""The probe in folders like a training container's, with real FIFOs, as the processes that SageMaker starts."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import Cluster, plan_channels
from packer.formats.recordio import MAGIC
from packer.reading.dataset import open_dataset
from packer.sagemaker.input_data import DataPlace
from packer.sagemaker.rules import training_job_faults
from packer.sagemaker.training_request import JobSpec, build_job
from packer.specs import FormatName
from tests.reading.containers import feeding, place_shards, shard_bytes, write_job
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.manifests import make_manifest

PROGRAM = Path(__file__).parents[2] / "jobs/sagemaker_probe.py"
HOSTS = ("algo-1", "algo-2")


def run(*arguments, **environ):
    """Run the program without site-packages, as it has to do with the standard library."""
    return subprocess.run(
        [sys.executable, "-I", "-S", PROGRAM, *map(str, arguments)],
        env=os.environ | environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture(params=[FormatName.TFRECORD, FormatName.RECORDIO])  # whose records the program knows
def data(tmp_path, request):
    samples = [dataclasses.replace(s, encoded=s.encoded + b"\0" * (s.label % 4) + MAGIC * 2) for s in make_samples(45)]
    splits = {"train": deal(samples[:24], 8), "val": deal(samples[24:], 8)}
    make_dataset(tmp_path / "data", splits, container=request.param, world=4)
    return tmp_path / "data"


def probe_pipes(tmp_path, data, host, epochs):
    """Run the probe on a host whose channels carry shards by index in each epoch."""
    names = ("train0", "val0")
    base = tmp_path / f"host{host}"
    files = write_job(base, data, dict.fromkeys(names, ("Pipe", "ShardedByS3Key")), hosts=HOSTS, host=host)
    splits = open_dataset(str(data)).manifest.splits
    junk = bytes(4 << 20)  # more than a pipe holds, behind what is read of the epoch that is closed early
    fed = [
        [
            (
                files.fifo(f"{split}0", epoch=epoch),
                [shard_bytes(data, [splits[split].shards[i] for i in indices]), junk if epoch == 1 else b""],
            )
            for epoch, indices in enumerate(epochs)
        ]
        for split in ("train", "val")
    ]
    with feeding(*fed[0]) as closed_early, feeding(*fed[1]):
        done = run(SAGEMAKER_BASE_DIR=str(base))
    assert done.returncode == 0, done.stderr
    assert closed_early == [files.fifo("train0", epoch=1)]
    written = base / f"output/data/probe-{HOSTS[host]}.json"
    assert json.loads(done.stdout) == json.loads(written.read_text())
    return written


@pytest.mark.slow
def test_shards_of_pipes_are_told_in_their_order(tmp_path, data):
    assigned = [[(2, 0, 4), (0, 2), (4, 6)], [(1, 3, 5), (1, 3), (6, 4)]]
    written = [probe_pipes(tmp_path, data, host, epochs) for host, epochs in enumerate(assigned)]
    found = json.loads(written[1].read_text())
    assert found["host"] == "algo-2"
    assert found["num_shards"] == {"train": 8, "val": 8}
    train = found["channels"]["train0"]
    assert (train["mode"], train["distribution"], train["finished"]) == ("Pipe", "ShardedByS3Key", True)
    keys = [shard.key for shard in open_dataset(str(data)).manifest.split("train").shards]
    assert train["epochs"][0]["shards"] == [keys[1], keys[3], keys[5]]
    assert train["epochs"][0]["others"] == []
    assert train["epochs"][1]["closed_early_after_bytes"] == 1 << 16
    val = [shard.key for shard in open_dataset(str(data)).manifest.split("val").shards]
    assert found["channels"]["val0"]["epochs"][2]["shards"] == [val[6], val[4]]

    lines = run("report", *written).stdout.splitlines()
    assert lines[0] == "train0: Pipe, ShardedByS3Key"
    assert lines[1].startswith("  epoch 0 algo-1: 3 shards, FIFO after ")
    assert lines[1].endswith(" s: 2 0 4")
    assert lines[3] == "  epoch 0 together: 6 shards, equal, disjoint"
    assert "  epoch 2 together: 2 shards, equal, not disjoint" in lines


def test_bytes_that_are_no_shard_are_told(tmp_path, data):
    files = write_job(tmp_path / "base", data, {"train0": ("Pipe", "ShardedByS3Key")})
    shards = open_dataset(str(data)).manifest.split("train").shards
    whole = shard_bytes(data, shards[:1])
    fed = [whole + whole[:50], bytes(1 << 17), b"junk" * 9]
    with feeding(*((files.fifo("train0", epoch=epoch), content) for epoch, content in enumerate(fed))):
        done = run(SAGEMAKER_BASE_DIR=files.base_dir)
    epochs = json.loads(done.stdout)["channels"]["train0"]["epochs"]
    assert (epochs[0]["shards"], epochs[0]["others"][0]["num_bytes"]) == ([shards[0].key], 50)
    assert (epochs[2]["shards"], epochs[2]["others"][0]["num_bytes"]) == ([], 36)


def test_files_of_folders_are_told(tmp_path, data):
    files = write_job(tmp_path / "base", data, {"train": ("File", "ShardedByS3Key"), "lost": ("FastFile", "")})
    shards = open_dataset(str(data)).manifest.split("train").shards
    place_shards(files, "train", data, shards[2:5])
    (Path(files.folder("train")) / "_SUCCESS").write_text("")
    found = json.loads(run(SAGEMAKER_BASE_DIR=files.base_dir).stdout)
    (epoch,) = found["channels"]["train"]["epochs"]
    assert sorted(epoch["shards"]) == [shard.key for shard in shards[2:5]]
    assert epoch["others"] == ["_SUCCESS"]
    assert found["channels"]["lost"]["epochs"] == [{"epoch": 0, "shards": [], "others": []}]
    assert "train" in found["in_data_folder"]


@pytest.mark.parametrize("mode", [InputMode.PIPE, InputMode.FILE, InputMode.FAST_FILE])
def test_a_request_keeps_the_data_and_starts_the_script(tmp_path, mode):
    cluster = Cluster(instances=2, gpus_per_instance=2)
    plans = plan_channels(make_manifest({"train": 8, "val": 4}, world=4), cluster, mode=mode)
    spec = JobSpec(
        name="b" * 63, image="image", role="arn:aws:iam::123456789012:role/r",
        output="s3://bucket/out", instance_type="ml.m5.large", max_wait_s=86400,
    )  # fmt: skip
    job = build_job(spec, plans, DataPlace(root="s3://bucket/set"), cluster)
    (tmp_path / "job.json").write_text(json.dumps(job))
    request = json.loads(run("request", tmp_path / "job.json", "s3://bucket/probe/sagemaker_probe.py").stdout)
    assert training_job_faults(request) == []
    assert request["TrainingJobName"] == "b" * 57 + "-probe"
    assert request["InputDataConfig"][:-1] == job["InputDataConfig"]
    assert request["InputDataConfig"][-1]["ChannelName"] == "probe"
    entry = request["AlgorithmSpecification"]["ContainerEntrypoint"]
    assert entry == ["python3", "/opt/ml/input/data/probe/sagemaker_probe.py"]
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800}
    assert {"HyperParameters", "EnableManagedSpotTraining", "CheckpointConfig"} & set(request) == set()


def test_a_job_logs_as_the_request_was_asked_to(tmp_path, data):
    job = tmp_path / "job.json"
    algorithm = {"TrainingImage": "image", "TrainingInputMode": "Pipe"}
    job.write_text(json.dumps({"TrainingJobName": "a", "AlgorithmSpecification": algorithm, "InputDataConfig": []}))
    logs = ["--log-level", "warning", "--log-json"]
    made = json.loads(run(*logs, "request", job, "s3://bucket/probe.py").stdout)["AlgorithmSpecification"]
    assert made["ContainerArguments"] == logs
    base = tmp_path / "host"
    write_job(base, data, {"train": ("Pipe", "ShardedByS3Key")}, hosts=HOSTS, host=0)
    (base / "input/data/train_0").mkdir(parents=True)  # no FIFO, so reading it fails
    told = run(*logs, SAGEMAKER_BASE_DIR=str(base))
    (record,) = [json.loads(line) for line in told.stderr.splitlines()]
    assert (record["level"], record["logger"]) == ("warning", "shardpack.probe")
    assert record["message"].startswith("train: IsADirectoryError")
