"""Jobs of two hosts: network namespaces of this one, which reach each other over a pair of interfaces alone."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.trainer.rank_jobs import HOROVODRUN, MARK_VARIABLE, LauncherCommand, learnable, started

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
            # Horovod's Gloo asks for the address of the host's own name, whatever interface it is told.
            names = Path("/etc/netns", host.name, "hosts")  # `ip netns exec` puts it in the place of /etc/hosts
            names.parent.mkdir(parents=True)
            stack.callback(shutil.rmtree, names.parent)
            names.write_text(f"127.0.0.1 localhost\n{host.address} {socket.gethostname()}\n")
            for words in (f"addr add {host.address}/24 dev {INTERFACE}", "link set lo up", f"link set {INTERFACE} up"):
                assert not command(*host.entering, "ip", *words.split()).returncode
        yield pair


def check(ended, metrics: Path):
    assert ended.status == 0, "\n".join(ended.lines)
    document = json.loads(metrics.read_text())
    assert (document["world"], document["steps_per_epoch"]) == (2, 12)
    assert document["epochs"][1]["loss"] < document["epochs"][0]["loss"]


@pytest.fixture
def shell(hosts, tmp_path):
    """A program like ssh that runs a command on a host, with none of the caller's variables."""
    cases = "".join(f"  {host.address}) set -- {host.name} ;;\n" for host in hosts)
    path = tmp_path / "bin/ssh"
    path.parent.mkdir()
    path.write_text(
        "#!/bin/bash\n"
        "host=\n"  # options may stand on both sides of it
        "while [[ $1 == -* || ! $host ]]; do [[ $1 == -* ]] || host=$1; [[ $1 == -[op] ]] && shift; shift; done\n"
        "words=$*\n"
        f"case $host in\n{cases}  *) exit 255 ;;\nesac\n"
        f"echo $host >> {tmp_path}/reached\n"
        'exec ip netns exec "$1" env -i HOME="$HOME" PATH=/usr/local/bin:/usr/bin:/bin bash -c "$words"\n'
    )
    path.chmod(0o755)
    return path


def trainer(framework, data, metrics):
    chosen = ("--framework", framework, "--data", data, "--epochs", 2, "--metrics", metrics)
    return (*TRAINER, *chosen)


@pytest.mark.horovod
@pytest.mark.keras
def test_horovodrun_on_two_hosts(hosts, shell, tmp_path):
    pytest.importorskip("horovod.tensorflow")
    data = learnable(tmp_path / "data", num_records=96)
    head = (
        *(*hosts[0].entering, *HOROVODRUN.head[:1], "-np", "2", "--gloo", "--network-interfaces", INTERFACE),
        *("-H", ",".join(f"{host.address}:1" for host in hosts)),
    )
    launcher = LauncherCommand(name="horovodrun", head=head)
    path = f"{shell.parent}:{os.environ['PATH']}"
    with started(launcher, 2, *trainer("keras", data, tmp_path / "metrics.json"), PATH=path) as job:
        check(job.finish(), tmp_path / "metrics.json")
    assert hosts[1].address in (tmp_path / "reached").read_text().split()


@pytest.mark.torch
def test_mpirun_on_two_hosts(hosts, shell, tmp_path):
    pytest.importorskip("torch")
    if not shutil.which("mpirun"):
        pytest.skip("mpirun is not installed")
    data = learnable(tmp_path / "data", num_records=96)
    variables = {
        **{"MASTER_ADDR": hosts[0].address, "MASTER_PORT": "29500", "GLOO_SOCKET_IFNAME": INTERFACE},
        **{name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
    }
    head = (
        *(*hosts[0].entering, "mpirun", "-np", "2", "-H", ",".join(f"{host.address}:1" for host in hosts)),
        *("-mca", "plm_rsh_agent", str(shell), "-mca", "oob_tcp_if_include", INTERFACE),
        *("-mca", "btl_tcp_if_include", INTERFACE, "--bind-to", "none"),
        *(word for name in (*variables, "PYTHONPATH", MARK_VARIABLE) for word in ("-x", name)),
    )
    launcher = LauncherCommand(name="mpirun", head=head)
    with started(launcher, 2, *trainer("torch", data, tmp_path / "metrics.json"), **variables) as job:
        check(job.finish(), tmp_path / "metrics.json")


@pytest.mark.torch
def test_torchrun_on_two_hosts(hosts, tmp_path):
    pytest.importorskip("torch")
    data = learnable(tmp_path / "data", num_records=96)
    arguments = trainer("torch", data, tmp_path / "metrics.json")
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
