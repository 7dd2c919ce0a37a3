"""The image's `train`, as process 1 of a namespace of its own where the kernel lets us make one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from packer.channels.jobfiles import ResourceConfig, encode_hyperparameters
from packer.reading.dataset import open_dataset
from packer.trainer.container.host_role import HostRole, find_role
from packer.trainer.container.job_host import host_arguments
from packer.trainer.container.process_register import ProcessRegister, registered
from tests.reading.containers import place_shards, write_job
from tests.tools.data_hosts import started_host
from tests.trainer.rank_jobs import LIMIT_S, learnable, losses, read_events, wait_for

ROOT = Path(__file__).parents[3]
STAND_IN = Path(__file__).with_name("toolkit_stand_in.py")
PID_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child")
"""The process that it starts is the first of a namespace, as in a container."""


def namespace() -> tuple[str, ...]:
    for command in (PID_NAMESPACE, (*PID_NAMESPACE, "--user", "--map-root-user")):
        with contextlib.suppress(OSError):
            if subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0:
                return command
    return ()


def program(command: str) -> list[str]:
    """Return what runs a host whose toolkit is `command`, Python source for a tuple."""
    text = (
        "import sys; from packer.trainer.container.host_program import HostProgram; "
        f"sys.exit(HostProgram({os.environ.get('SAGEMAKER_BASE_DIR', '')!r} or sys.argv[1], {command}).run())"
    )
    return [sys.executable, "-c", text]


@contextlib.contextmanager
def started(base: Path, command: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield a host's outer process, and the number by which its first process is signalled."""
    prefix = namespace()
    variables = {"SAGEMAKER_BASE_DIR": str(base), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*prefix, *program(command), str(base)],
        env=os.environ | variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if prefix:
            wait_for(lambda: bool(children.read_text().strip()))
        yield process, int(children.read_text()) if prefix else process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def sleeping(name: str, body: str, toolkit: str = "pass") -> str:
    """Return a toolkit, which `toolkit` prepares, that starts a process which `body` prepares and which then sleeps."""
    rank = f"import time; {body}; print('{name}', flush=True); time.sleep(300)"
    start = f"subprocess.run([sys.executable, '-c', {rank!r}], check=False)"
    outer = f"import os, signal, subprocess, sys; {toolkit}; sys.exit({start}.returncode)"
    return f"(sys.executable, '-c', {outer!r})"


REGISTERED = (
    "import os, signal, sys; from packer.trainer.container.process_register import registered; "
    "keep = registered(os.environ['SAGEMAKER_BASE_DIR']); keep.__enter__(); "
    "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'saved, '), os._exit(7)))"
)
TELLING = "signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'the toolkit is signalled'))"


@pytest.mark.slow
class TestStopping:
    def test_who_is_registered_hears_of_it_and_not_the_toolkit(self, tmp_path: Path) -> None:
        with started(tmp_path, sleeping("ready", REGISTERED, TELLING)) as (process, first):
            assert process.stdout.readline() == "ready\n"
            os.kill(first, signal.SIGTERM)
            output, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 143, output
        assert output == "told to stop: ranks save, then this host ends\nsaved, "

    def test_without_ranks_the_toolkit_is_ended(self, tmp_path: Path) -> None:
        with started(tmp_path, sleeping("ready", "pass")) as (process, first):
            assert process.stdout.readline() == "ready\n"
            os.kill(first, signal.SIGTERM)
            process.wait(timeout=LIMIT_S)
        assert process.returncode == 143

    @pytest.mark.parametrize("code", [0, 3])
    def test_the_toolkits_exit_code_is_the_hosts(self, tmp_path: Path, code: int) -> None:
        with started(tmp_path, f"(sys.executable, '-c', 'raise SystemExit({code})')") as (process, _):
            process.communicate(timeout=LIMIT_S)
        assert process.returncode == code


@pytest.mark.slow
def test_data_hosts_are_told_that_training_has_failed(tmp_path: Path) -> None:
    data, base = learnable(tmp_path / "data"), tmp_path / "opt/ml"
    write_job(base, data, {"train": ("File", "FullyReplicated")})
    groups = [
        {"instance_group_name": "gpu", "instance_type": "", "hosts": ["algo-1"]},
        {"instance_group_name": "cpu", "instance_type": "", "hosts": ["localhost"]},
    ]
    path = base / "input/config/resourceconfig.json"
    own = {"current_group_name": "gpu", "instance_groups": groups}
    path.write_text(json.dumps({**json.loads(path.read_text()), **own}))
    with started_host(data) as host:
        given = {"feed": f'"group:cpu:{host.port}"', "sagemaker_distribution_instance_groups": '["gpu"]'}
        (base / "input/config/hyperparameters.json").write_text(json.dumps(given))
        with started(base, "(sys.executable, '-c', 'raise SystemExit(3)')") as (process, _):
            process.communicate(timeout=LIMIT_S)
        assert process.returncode == 3
        code, output = host.finish()
    assert code == 0
    assert output.startswith("training is over")


@pytest.mark.slow
@pytest.mark.torch
def test_ranks_that_were_stopped_at_any_moment_go_on_with_the_same_losses(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    data = learnable(tmp_path / "data", num_records=160)
    trainer = {"framework": "torch", "image-size": 16, "batch-size": 4, "threads": 1, "epochs": 12, "log-steps": 1}

    def describe(name: str, model_dir: Path) -> tuple[Path, Path]:
        base, events = tmp_path / name / "opt/ml", tmp_path / f"{name}.jsonl"
        files = write_job(base, data, {"train": ("File", "FullyReplicated")})
        place_shards(files, "train", data, open_dataset(str(data)).manifest.split("train").shards)
        own = trainer | {"model-dir": model_dir, "events": events, "loader": "process"}
        texts = encode_hyperparameters({key: str(value) for key, value in own.items()})
        (base / "input/config/hyperparameters.json").write_text(json.dumps(texts))
        return base, events

    def run(base: Path) -> int:
        with started(base, f"(sys.executable, {str(STAND_IN)!r})") as (process, _):
            output, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, output
        return process.returncode

    whole, whole_events = describe("whole", tmp_path / "model-a")
    run(whole)
    first, first_events = describe("first", tmp_path / "model-b")
    moment = random.randint(1, 30)
    with started(first, f"(sys.executable, {str(STAND_IN)!r})") as (process, number):
        wait_for(lambda: len(read_events(first_events)) >= moment)
        os.kill(number, signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 143, output
    assert output.count("which is saved; the same command goes on there") == 2, output
    second, second_events = describe("second", tmp_path / "model-b")
    run(second)
    assert min(losses(second_events)) == max(losses(first_events)) + 1
    assert losses(first_events, second_events) == losses(whole_events)


class TestRole:
    RESOURCES = ResourceConfig(current_host="algo-2", hosts=("algo-1", "algo-2"), current_group_name="cpu")

    @pytest.mark.parametrize(
        ("hyperparameters", "role"),
        [
            ({}, HostRole.TRAIN),
            ({"feed": "group:cpu"}, HostRole.TRAIN),
            ({"sagemaker_distribution_instance_groups": ["cpu"]}, HostRole.TRAIN),
            ({"sagemaker_distribution_instance_groups": ["gpu"]}, HostRole.NONE),
            ({"sagemaker_distribution_instance_groups": ["gpu"], "feed": "group:other"}, HostRole.NONE),
            ({"sagemaker_distribution_instance_groups": ["gpu"], "feed": "cpu:8815"}, HostRole.NONE),
            ({"sagemaker_distribution_instance_groups": ["gpu"], "feed": "group:cpu"}, HostRole.DATA),
            ({"sagemaker_distribution_instance_groups": ["gpu"], "feed": "group:cpu:9000"}, HostRole.DATA),
        ],
    )
    def test_the_group_says_what_a_host_is_for(self, hyperparameters: dict[str, object], role: HostRole) -> None:
        assert find_role(self.RESOURCES, hyperparameters) is role


def test_a_data_host_takes_of_the_trainers_options_those_that_reach_data() -> None:
    given = {"feed": "group:cpu:9000", "cache": "/nvme:1GB", "epochs": 3, "anonymous": True, "requester-pays": False,
             "threads": 2, "feed-token-file": "token", "timeout": 9, "log-level": "info"}  # fmt: skip
    assert host_arguments(given) == [
        *("--cache", "/nvme:1GB", "--anonymous", "--timeout", "9", "--log-level", "info"),
        *("--token-file", "token", "--port", "9000"),
    ]
    assert host_arguments({"feed": "127.0.0.1:5"}) == []


def test_a_process_that_is_gone_is_not_signalled(tmp_path: Path) -> None:
    """Its number may be another's by then."""
    register = ProcessRegister(str(tmp_path))
    assert register.signal(0) == 0
    with registered(str(tmp_path)):
        assert register.signal(0) == 1
    assert register.signal(0) == 0
