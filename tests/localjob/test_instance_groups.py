"""Jobs of two kinds of instances: ranks on one, real data hosts on the other."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import Cluster
from packer.channels.instance_groups import choose_groups
from packer.localjob.job_spec import Launch, LocalJob, list_data_hosts, list_hosts, list_ranks
from packer.localjob.tree import describe_instance
from tests.localjob.jobs import finish, make_small, result_of, run, start
from tests.trainer.rank_jobs import learnable, losses, wait_for

GROUPS = ("--instance-group", "gpu=ml.g5.2xlarge:1", "--instance-group", "cpu=ml.c5.9xlarge:2")
FED = (*GROUPS, "--train-group", "gpu", "--data-group", "cpu", "--json")
TRAINER = (
    *(sys.executable, "-m", "packer.trainer", "--framework", "torch", "--image-size", 16, "--batch-size", 8),
    *("--log-steps", 1, "--eval-split", "val"),
)


def job_of(launch: Launch) -> LocalJob:
    groups = choose_groups(("cpu=c5:9", "gpu=g5:2"), "gpu", "cpu")
    cluster = Cluster(instances=2, gpus_per_instance=2)
    return LocalJob(dest="x", cluster=cluster, mode=InputMode.FAST_FILE, command=("x",), launch=launch, groups=groups)


@pytest.mark.parametrize(
    ("launch", "hosts"), [(Launch.PROCESSES, ("algo-10", "algo-11")), (Launch.MPI, ("algo-11", "algo-10"))]
)
def test_ranks_are_on_the_train_group(launch: Launch, hosts: tuple[str, ...]) -> None:
    job = job_of(launch)
    assert list_hosts(job) == hosts
    assert [rank.host for rank in list_ranks(job)] == [hosts[0], hosts[0], hosts[1], hosts[1]]
    assert list_data_hosts(job) == tuple(f"algo-{number}" for number in range(1, 10))


def test_each_instance_is_told_its_group() -> None:
    resources = describe_instance(job_of(Launch.PROCESSES), "algo-3", [], base="/b").resources
    assert (resources.current_group_name, resources.current_instance_type) == ("cpu", "c5")
    assert len(resources.hosts) == 11
    assert [(group.instance_group_name, len(group.hosts)) for group in resources.instance_groups] == [
        ("cpu", 9),
        ("gpu", 2),
    ]


def test_streams_and_impossible_groups_are_refused(tmp_path: Path) -> None:
    make_small(tmp_path / "set")
    for options, said in (
        ((*FED, "--mode", "Pipe"), "--mode: expected FastFile, File or FileSystem with --data-group, got Pipe"),
        ((*FED, "--instances", 2), "--instances: expected 1 as in --train-group, got 2"),
        (("--train-group", "gpu"), "--train-group: expected with --instance-group NAME=TYPE:COUNT only"),
    ):
        done = run(tmp_path / "set", *options, command=("true",))
        assert done.returncode == 2
        assert said in done.stderr


@pytest.mark.slow
def test_ranks_that_say_nothing_to_data_hosts_end_them_all_the_same(tmp_path: Path) -> None:
    """A program of one's own, and one that fails."""
    make_small(tmp_path / "set")
    for code in (0, 3):
        base = tmp_path / str(code)
        options = (*FED, "--mode", "FastFile", "--base-dir", base)
        done = run(tmp_path / "set", *options, command=(sys.executable, "-c", f"raise SystemExit({code})"))
        result = result_of(done)
        assert [rank["exit_code"] for rank in result["ranks"]] == [code]
        assert [(host["host"], host["exit_code"]) for host in result["data_hosts"]] == [("algo-2", 0), ("algo-3", 0)]
        assert done.returncode == (1 if code else 0), done.stderr
        assert (base / "algo-1/opt/ml/output/success").exists() is (code == 0)
        assert (base / "algo-2/opt/ml/output/success").exists()


@pytest.mark.slow
@pytest.mark.torch
class TestTraining:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch")

    def test_data_hosts_feed_the_ranks_and_all_end_well(self, tmp_path: Path) -> None:
        data = learnable(tmp_path / "set")
        command = (*TRAINER, "--epochs", 2, "--feed-lost", "error", "--metrics", tmp_path / "metrics.json")
        done = run(data, *FED, "--mode", "File", command=command)
        assert done.returncode == 0, done.stderr
        result = result_of(done)
        assert [rank["exit_code"] for rank in result["ranks"]] == [0]
        assert [host["exit_code"] for host in result["data_hosts"]] == [0, 0]
        assert len(json.loads((tmp_path / "metrics.json").read_text())["epochs"]) == 2
        for host in ("algo-2", "algo-3"):
            assert f"[{host}] training is over; made 0 batches" not in done.stderr
            assert f"[{host}] training is over; made " in done.stderr

    def test_a_data_host_that_is_killed_does_not_end_training(self, tmp_path: Path) -> None:
        data, events, base = learnable(tmp_path / "set"), tmp_path / "events.jsonl", tmp_path / "base"
        command = (*TRAINER, "--epochs", 3, "--events", events)
        process = start(data, *FED, "--mode", "FastFile", "--base-dir", base, command=command)
        wait_for(lambda: len(losses(events)) > 5)
        os.kill(pid_of_data_host(str(base / "algo-2/opt/ml")), signal.SIGKILL)
        done = finish(process)
        result = result_of(done)
        assert [rank["exit_code"] for rank in result["ranks"]] == [0], done.stderr
        assert [host["exit_code"] for host in result["data_hosts"]] == [-signal.SIGKILL, 0]
        assert done.returncode == 0
        assert sorted(losses(events)) == list(range(1, 3 * 24 + 1))


def pid_of_data_host(base_dir: str) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, variables = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"packer.trainer.container.job_host" in words and f"SAGEMAKER_BASE_DIR={base_dir}".encode() in variables:
            return int(folder.name)
    raise AssertionError("no data host runs")
