"""A SageMaker training job on hosts of its own: SageMaker's toolkit under `docker/train`, ssh and mpirun between them.

    make toolkit-hosts                                                    the shapes that are promised to work
    PYTHON tests/tools/toolkit_hosts.py --stop --shape FastFile:2x2       and a stop at a random step

Each host is a network namespace with an address and an interface eth0 of its own, and a namespace of processes whose
first one is `docker/train`; over the machine's own folders lie layers that are gone in the end, so /opt/ml, /tmp and
/etc/environment are the host's. Names such as algo-1 are known in /etc/hosts. Hyperparameters and channels are those of
a request that `packer.sagemaker` makes; channels are filled, and FIFOs fed, by what `shardpack sagemaker-local` uses.

It needs root, `ip`, `unshare`, mpirun of Open MPI, an interpreter with a framework and SageMaker's training toolkit (as
docker/train.Dockerfile installs it) outside of /tmp, and OpenSSH's server: installed, or unpacked below --server-root.
A job takes one to two minutes, of which the toolkit sleeps one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from packer.channels.assignment import keys_of_instance  # noqa: E402
from packer.channels.channel_names import InputMode  # noqa: E402
from packer.channels.channel_plan import Cluster, feedable, plan_channels  # noqa: E402
from packer.channels.instance_groups import ONE_KIND, choose_groups  # noqa: E402
from packer.channels.jobfiles import JobFiles  # noqa: E402
from packer.dataset.load import load_manifest  # noqa: E402
from packer.localjob.content import Content, fill_channels  # noqa: E402
from packer.localjob.job_spec import Launch, LocalJob, list_data_hosts, list_hosts  # noqa: E402
from packer.localjob.pipe_writer import PipeChannel, close_channels, concatenate  # noqa: E402
from packer.localjob.tree import describe_instance, make_tree  # noqa: E402
from packer.sagemaker.input_data import DataPlace  # noqa: E402
from packer.sagemaker.training_request import JobSpec, build_job  # noqa: E402
from packer.stores.open_store import open_store  # noqa: E402
from tests.trainer.rank_jobs import learnable, losses  # noqa: E402

LIMIT_S = 600
INTERFACE = "eth0"
LAYERED = ("etc", "opt", "root", "usr", "run")
ROLE = "arn:aws:iam::123456789012:role/training"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A job's instances and how they get data: ``FastFile:2x2``; ``hetero:1+2x1`` with data hosts behind the plus."""

    mode: InputMode
    train: int
    data: int
    local_size: int

    @classmethod
    def parse(cls, text: str) -> Shape:
        mode, _, rest = text.partition(":")
        hosts, _, local_size = rest.partition("x")
        train, _, data = hosts.partition("+")
        chosen = InputMode.FAST_FILE if mode == "hetero" else InputMode(mode)
        return cls(mode=chosen, train=int(train), data=int(data or 0), local_size=int(local_size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job whose hosts' folders are there."""

    local: LocalJob
    trees: tuple[JobFiles, ...]
    pipes: list[PipeChannel]


def command(*words: object) -> None:
    subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)


def stage(shape: Shape, data: Path, base: Path, options: dict[str, object]) -> Job:
    """Make a request, and the folders of a job that it starts."""
    texts = (f"gpu=ml.g5.2xlarge:{shape.train}", f"cpu=ml.c5.9xlarge:{shape.data}")
    groups = choose_groups(texts, "gpu", "cpu") if shape.data else ONE_KIND
    cluster = Cluster(instances=shape.train, gpus_per_instance=shape.local_size)
    store = open_store(str(data))
    plans = plan_channels(load_manifest(store), cluster, mode=shape.mode)
    plans = feedable(plans) if groups.data else plans
    spec = JobSpec(
        name="job",
        image=IMAGE,
        role=ROLE,
        output="s3://bucket/out",
        instance_type="" if groups.groups else "ml.c5.9xlarge",
        groups=groups,
        checkpoint="s3://bucket/checkpoints",
        hyperparameters=tuple((name, str(value)) for name, value in options.items()),
    )
    request = build_job(spec, plans, DataPlace(root="s3://bucket/set", groups=groups.readers), cluster)
    local = LocalJob(
        dest=str(data), cluster=cluster, mode=shape.mode, command=("train",), launch=Launch.MPI, groups=groups
    )
    hosts = (*list_hosts(local), *list_data_hosts(local))
    trees = []
    for host in hosts:
        files = describe_instance(local, host, plans, base=str(base))
        named = msgspec.structs.replace(files.resources, network_interface_name=INTERFACE)
        trees.append(JobFiles(base_dir=files.base_dir, resources=named, channels=files.channels))
        make_tree(trees[-1], request["HyperParameters"])
    content = Content(store, plans)
    fill_channels(content, local, plans, trees, shared_dir=str(base / "shared"))

    def pieces(plan, position, epoch):
        keys = keys_of_instance(plan, position, instances=shape.train, seed=0, epoch=epoch)
        return concatenate(keys, content.pieces)

    pipes = [
        PipeChannel(tree, plan.name, epoch_pieces=partial(pieces, plan, position))
        for plan in plans
        if plan.mode is InputMode.PIPE
        for position, tree in enumerate(trees[: shape.train])
    ]
    return Job(local=local, trees=tuple(trees), pipes=pipes)


@contextlib.contextmanager
def network(hosts: list[str], tag: str) -> Iterator[dict[str, str]]:
    """Yield the name of a network namespace for each host, on one bridge."""
    names = {host: f"{tag}-{host}" for host in hosts}
    bridge = f"{tag}b"[-15:]
    with contextlib.ExitStack() as stack:
        command("ip", "link", "add", bridge, "type", "bridge")
        stack.callback(command, "ip", "link", "del", bridge)
        command("ip", "link", "set", bridge, "up")
        for number, (host, name) in enumerate(names.items(), 1):
            command("ip", "netns", "add", name)
            stack.callback(command, "ip", "netns", "del", name)
            outer = f"{tag}v{number}"[-15:]
            command("ip", "link", "add", outer, "type", "veth", "peer", "name", INTERFACE, "netns", name)
            command("ip", "link", "set", outer, "master", bridge, "up")
            for words in (f"addr add {address(host)}/16 dev {INTERFACE}", "link set lo up", f"link set {INTERFACE} up"):
                command("ip", "-n", name, *words.split())
        yield names


def address(host: str) -> str:
    return f"10.78.0.{host.rpartition('-')[2]}"


def container_script(tree: JobFiles, work: Path, server_root: str) -> str:
    """Return what makes a host's own view of the folders, and becomes `docker/train`."""
    host = tree.resources.current_host
    layers = f"{work}/{host}-layers"
    lines = ["set -eu", f"mkdir -p {layers}", f"mount -t tmpfs none {layers}"]
    for name in LAYERED:
        below = (
            f"{server_root}/{name}:/{name}" if server_root and os.path.isdir(f"{server_root}/{name}") else f"/{name}"
        )
        lines += [
            f"mkdir -p {layers}/{name} {layers}/{name}.work",
            f"mount -t overlay none -o lowerdir={below},upperdir={layers}/{name},workdir={layers}/{name}.work /{name}",
        ]
    known = "".join(f"{address(each)} {each}\\n" for each in tree.resources.hosts)
    return "\n".join(
        [
            *lines,
            f"hostname {host}",
            "mount -t tmpfs none /tmp",
            "mount -t tmpfs none /dev/shm",  # Open MPI names shared memory by host and local rank
            "mkdir -p /opt/ml /opt/shardpack /run/sshd /root/.ssh /etc/ssh",
            f"mount --bind {tree.base_dir} /opt/ml",
            f"cp {ROOT}/docker/train.py /opt/shardpack/",
            f"printf '127.0.0.1 localhost\\n{known}' > /etc/hosts",
            "grep -q ^sshd: /etc/passwd || echo 'sshd:x:994:65534::/run/sshd:/usr/sbin/nologin' >> /etc/passwd",
            "[ -e /etc/ssh/sshd_config ] || cp /usr/share/openssh/sshd_config /etc/ssh/",
            f"cp {work}/id_ed25519 {work}/id_ed25519.pub /root/.ssh/",
            "cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys",
            "printf 'Host *\\n StrictHostKeyChecking no\\n UserKnownHostsFile /dev/null\\n LogLevel ERROR\\n'"
            " > /root/.ssh/config",
            "chmod 700 /root/.ssh; chmod 600 /root/.ssh/*; chown -R root:root /root/.ssh; ssh-keygen -q -A",
            "echo PermitRootLogin yes >> /etc/ssh/sshd_config",
            "unset SAGEMAKER_BASE_DIR",
            f"exec {sys.executable} {ROOT}/docker/train",
        ]
    )


@contextlib.contextmanager
def running(job: Job, work: Path, server_root: str) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start all hosts; whatever is left in the end is killed."""
    hosts = [tree.resources.current_host for tree in job.trees]
    with network(hosts, f"sp{os.getpid() % 10_000}") as names, contextlib.ExitStack() as stack:
        started = {}
        for tree in job.trees:
            host = tree.resources.current_host
            words = [
                "ip",
                "netns",
                "exec",
                names[host],
                "unshare",
                "--mount",
                "--pid",
                "--uts",
                "--fork",
                "--kill-child",
            ]
            log = stack.enter_context(open(work / f"{host}.log", "wb"))
            environment = {
                "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
                "OMP_NUM_THREADS": "1",
                "CUDA_VISIBLE_DEVICES": "-1",
                "TRAINING_JOB_NAME": "job",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            script = f"mount -t proc proc /proc; {container_script(tree, work, server_root)}"
            process = subprocess.Popen([*words, "sh", "-c", script], stdout=log, stderr=log, env=environment)
            stack.callback(_kill, process)
            started[host] = process
        yield started


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        for pid in _children(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.kill()
    process.wait()


def _children(pid: int) -> list[int]:
    """Return the first process of a host's namespace."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in text]


def run(shape: Shape, data: Path, work: Path, options: dict[str, object], server_root: str, stop_at: int) -> dict:
    """Run a job to its end, or until it has taken some steps; return how it went."""
    work.mkdir()
    shutil.copy(data.parent / "id_ed25519", work)
    shutil.copy(data.parent / "id_ed25519.pub", work)
    events = Path(str(options["events"]))
    job = stage(shape, data, work / "base", options)
    began_s = time.monotonic()
    stopped_s = None
    try:
        with running(job, work, server_root) as hosts:
            while any(process.poll() is None for process in hosts.values()):
                if time.monotonic() - began_s > LIMIT_S:
                    raise SystemExit(f"the job hangs; its hosts' words are in {work}")
                if stop_at and stopped_s is None and len(losses(events)) >= stop_at:
                    stopped_s = time.monotonic()
                    for process in hosts.values():
                        for pid in _children(process.pid):
                            os.kill(pid, signal.SIGTERM)
                time.sleep(0.2)
            codes = {host: process.returncode for host, process in hosts.items()}
    finally:
        close_channels(job.pipes)
    result = {"codes": codes, "seconds": round(time.monotonic() - began_s, 1), "steps": sorted(losses(events))[-1:]}
    if stopped_s is not None:
        result["seconds_to_stop"] = round(time.monotonic() - stopped_s, 1)
    return result


def trainer_options(folder: Path, framework: str, part: str, keep: str) -> dict[str, object]:
    """Return hyperparameters. All hosts see the folder of checkpoints, as they would see a bucket."""
    return {
        "framework": framework,
        "epochs": 2,
        "batch-size": 4,
        "image-size": 16,
        "log-steps": 1,
        "threads": 1,
        "checkpoint-steps": 1000,
        "events": f"{folder}/{part}.jsonl",
        "model-dir": f"{folder}/{keep}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", required=True, help="mode:HOSTSxRANKS or hetero:TRAIN+DATAxRANKS")
    parser.add_argument("--stop", action="store_true", help="also stop each job at a random step, and go on")
    parser.add_argument("--server-root", default="", help="folder below which OpenSSH's server is unpacked")
    parser.add_argument("--framework", default="torch")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shardpack-hosts-", dir="/var/tmp"))
    command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "id_ed25519")
    data = learnable(folder / "set", num_records=480, num_shards=12)
    failures = 0
    for text in given.shape:
        name = text.replace(":", "-")
        print(f"{text}:", end=" ", flush=True)

        def go(part: str, keep: str, stop_at: int = 0, *, shape: str = text, name: str = name) -> dict:
            options = trainer_options(folder, given.framework, f"{name}-{part}", f"{name}-{keep}")
            return run(Shape.parse(shape), data, folder / f"{name}-{part}", options, given.server_root, stop_at)

        whole = go("whole", "a")
        print(json.dumps(whole), flush=True)
        failures += any(whole["codes"].values())
        if given.stop and not any(whole["codes"].values()):
            failures += not _stops(folder / name, go)
    if failures:
        raise SystemExit(f"{failures} jobs went wrong; see {folder}")
    shutil.rmtree(folder)


def _stops(place: Path, go: Callable[..., dict]) -> bool:
    """Stop a job at a random step, go on, and compare the losses with those of a job that was left alone."""
    whole, *logs = (Path(f"{place}-{part}.jsonl") for part in ("whole", "first", "second"))
    moment = random.randint(1, len(losses(whole)) - 5)
    first, second = go("first", "b", moment), go("second", "b")
    is_same = losses(*logs) == losses(whole)
    told = {"stopped_at": moment, "first": first, "second": second, "goes_on_at": min(losses(logs[1])), "same": is_same}
    print(f"  {json.dumps(told)}", flush=True)
    return is_same and not any(second["codes"].values())


if __name__ == "__main__":
    main()
