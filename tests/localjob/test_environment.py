"""Variables of ranks, compared with what SageMaker's training toolkit 5.1.4 makes of the same files."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan, Cluster
from packer.channels.instance_groups import choose_groups
from packer.channels.jobfiles import JobFiles
from packer.localjob.environment import instance_variables, program_arguments, torchrun_variables
from packer.localjob.job_spec import Launch, LocalJob, Rank
from packer.localjob.tree import describe_instance, list_hyperparameters, make_tree
from tests.localjob.jobs import ROOT, make_small, run

CLUSTER = Cluster(instances=2, gpus_per_instance=4)
JOB = LocalJob(dest="x", cluster=CLUSTER, mode=InputMode.PIPE, command=("true",))
PLANS = [ChannelPlan(name=name, split=name, mode=InputMode.PIPE, sharded=True, keys=()) for name in ("val0", "train0")]


def describe(host: str) -> JobFiles:
    return describe_instance(JOB, host, PLANS, base="/b")


@pytest.fixture(scope="module")
def toolkit_python() -> str:
    """An interpreter with SageMaker's training toolkit."""
    path = ROOT / ".venv-sdk/bin/python"
    if not path.exists() or subprocess.run([path, "-c", "import sagemaker_training"], check=False).returncode:
        pytest.skip("no environment with SageMaker's training toolkit: make .venv-sdk/.installed")
    return str(path)


FLAT = LocalJob(dest="x", cluster=CLUSTER, mode=InputMode.PIPE, command=("python", "src/train.py"))
MIXED = LocalJob(
    dest="x",
    cluster=Cluster(instances=1, gpus_per_instance=4),
    mode=InputMode.FAST_FILE,
    command=("python", "train.py"),
    launch=Launch.MPI,
    groups=choose_groups(("gpu=ml.g5.12xlarge:1", "cpu=ml.c5.9xlarge:2"), "gpu", "cpu"),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "host"),
    [(FLAT, "algo-2"), (MIXED, "algo-1"), (MIXED, "algo-3")],
    ids=["one kind", "host that trains", "host of the data group"],
)
def test_variables_and_arguments_are_those_of_the_toolkit(
    job: LocalJob, host: str, toolkit_python: str, tmp_path: Path
) -> None:
    given = {"epochs": "3", "name": "a b", "sizes": "[1,2]", "x": "null", "map": '{"b":1,"a":"c"}', "text": "\u00fc",
             "lr": "1e-3", "sagemaker_container_log_level": "10", "sagemaker_submit_directory": "/code",
             "sagemaker_job_name": "first", "sagemaker_region": "eu-west-1"}  # fmt: skip
    job = dataclasses.replace(job, hyperparameters=tuple(given.items()))
    own = describe_instance(job, host, PLANS, base=str(tmp_path))
    make_tree(own, list_hyperparameters(job))
    ours = instance_variables(own, own, list_hyperparameters(job), num_gpus=0)
    done = subprocess.run(
        [toolkit_python, "-c", _TOOLKIT],
        env={**os.environ, **{name: ours[name] for name in ("SAGEMAKER_BASE_DIR", "TRAINING_JOB_NAME")}},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert program_arguments(list_hyperparameters(job)) == theirs["arguments"]
    assert set(ours) - set(theirs["variables"]) == {"TRAINING_JOB_ARN"}
    for name, text in theirs["variables"].items():
        assert decoded(ours[name]) == decoded(text), name


_TOOLKIT = """
import json, os
before = dict(os.environ)
from sagemaker_training import environment
made = environment.Environment()
platform = {name: os.environ[name] for name in ("SAGEMAKER_BASE_DIR", "TRAINING_JOB_NAME")}
changed = {name: text for name, text in os.environ.items() if before.get(name) != text}
print()
print(json.dumps({"arguments": made.to_cmd_args(), "variables": {**platform, **changed, **made.to_env_vars()}}))
"""
"""What the toolkit gives a process: variables of its own, and those that it sets in its environment."""


def decoded(text: str) -> object:
    """Return JSON as a value, since the order of keys and the spelling of letters mean nothing."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.mark.slow
def test_nobody_else_can_read_what_a_job_keeps_of_its_environment(tmp_path: Path) -> None:
    """Credentials are in it."""
    if not shutil.which("mpirun"):
        pytest.skip("mpirun is not installed")
    make_small(tmp_path / "set")
    base = tmp_path / "base"
    done = run(tmp_path / "set", "--mpi", "--instances", 2, "--base-dir", base, command=("true",))
    assert done.returncode == 0, done.stderr
    files = sorted((base / "launch").glob("environment-*.json"))
    assert [path.name for path in files] == ["environment-algo-1.json", "environment-algo-2.json"]
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.environ["PATH"] in json.loads(path.read_bytes())["PATH"]


def test_under_mpi_the_host_is_the_masters_and_paths_are_the_own() -> None:
    variables = instance_variables(describe("algo-1"), describe("algo-2"), {}, num_gpus=4)
    assert variables["SM_CURRENT_HOST"] == "algo-2"
    assert json.loads(variables["SM_RESOURCE_CONFIG"])["current_host"] == "algo-2"
    assert variables["SM_CHANNEL_TRAIN0"] == "/b/algo-1/opt/ml/input/data/train0"
    assert variables["SAGEMAKER_BASE_DIR"] == "/b/algo-1/opt/ml"


def test_torchrun_variables_count_from_the_instance() -> None:
    rank = Rank(rank=5, local_rank=1, host="algo-2")
    assert torchrun_variables(rank, world=8, local_size=4, port=29500) == {
        "RANK": "5",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "8",
        "LOCAL_WORLD_SIZE": "4",
        "GROUP_RANK": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    }
