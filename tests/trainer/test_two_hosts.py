"""Jobs of two hosts: network namespaces of this one, which reach each other over a pair of interfaces alone."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.trainer.rank_jobs import LauncherCommand, learnable, started

pytestmark = [pytest.mark.slow, pytest.mark.may_skip]

TRAINER = ("-m", "packer.trainer", "--image-size", 16, "--batch-size", 4, "--loader", "process", "--threads", 1)

INTERFACE = "link0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    name: str
    address: str

    @property
    def entering(self) -> tuple[str, ...]:
        return "ip", "netns", "exec", self.name


def command(*words):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)


@pytest.fixture
def hosts():
    tag = f"{os.getpid() % 100_000}"
    pair = [Host(name=f"host{n}-{tag}", address=f"10.77.0.{n}") for n in (1, 2)]
    with contextlib.ExitStack() as stack:
        for host in pair:
            stack.callback(command, "ip", "netns", "del", host.name)
            if not shutil.which("ip") or command("ip", "netns", "add", host.name).returncode:
                pytest.skip("network namespaces need the command ip and root's rights")
        ends = [f"name {INTERFACE} netns {host.name}" for host in pair]
        if command(*f"ip link add {ends[0]} type veth peer {ends[1]}".split()).returncode:
            pytest.skip("this kernel has no pairs of interfaces (veth)")
        for host in pair:
            for words in (f"addr add {host.address}/24 dev {INTERFACE}", "link set lo up", f"link set {INTERFACE} up"):
                assert not command(*host.entering, "ip", *words.split()).returncode
        yield pair


def check(ended, metrics: Path):
    assert ended.status == 0, "\n".join(ended.lines)
    document = json.loads(metrics.read_text())
    assert (document["world"], document["steps_per_epoch"]) == (2, 12)
    assert document["epochs"][1]["loss"] < document["epochs"][0]["loss"]


@pytest.mark.torch
def test_torchrun_on_two_hosts(hosts, tmp_path):
    pytest.importorskip("torch")
    data = learnable(tmp_path / "data", num_records=96)
    arguments = (
        *TRAINER,
        "--framework",
        "torch",
        "--data",
        data,
        "--epochs",
        2,
        "--metrics",
        tmp_path / "metrics.json",
    )
    with contextlib.ExitStack() as stack:
        jobs = []
        for rank, host in enumerate(hosts):
            head = (
                *(*host.entering, sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"),
                *("--nproc-per-node", "1", "--node-rank", f"{rank}", "--master-addr", hosts[0].address),
            )
            launcher = LauncherCommand(name="torchrun", head=head, python=())
            jobs.append(stack.enter_context(started(launcher, 1, *arguments, GLOO_SOCKET_IFNAME=INTERFACE)))
        first, second = (job.finish() for job in jobs)
    assert second.status == 0, second.lines
    check(first, tmp_path / "metrics.json")
