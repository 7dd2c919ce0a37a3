"""What an instance is told, as real jobs write it, oddities included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import Cluster, plan_channels
from packer.channels.jobfiles import load_job_files
from packer.localjob.job_spec import Launch, LocalJob, host_names, list_hosts, list_ranks
from packer.localjob.tree import describe_instance, list_hyperparameters, make_tree, read_failure
from tests.localjob.jobs import make_small


def make_job(mode: InputMode, *, instances: int = 2, launch: Launch = Launch.PROCESSES) -> LocalJob:
    cluster = Cluster(instances=instances, gpus_per_instance=2)
    given = (("epochs", "3"), ("name", "a b"), ("text", '"4"'))
    return LocalJob(dest="x", cluster=cluster, mode=mode, command=("true",), hyperparameters=given, launch=launch)


def read_json(base: Path, name: str) -> object:
    return json.loads((base / "input/config" / name).read_text())


@pytest.mark.parametrize(
    ("mode", "sharded", "written"),
    [
        (InputMode.FILE, True, "File"),
        (InputMode.FAST_FILE, False, "FastFile"),
        (InputMode.FILE_SYSTEM, False, "File"),
        (InputMode.PIPE, True, "Pipe"),
    ],
)
def test_channels_are_described_as_sagemaker_does(tmp_path: Path, mode: InputMode, sharded: bool, written: str) -> None:
    job = make_job(mode)
    plans = plan_channels(make_small(tmp_path / "set"), job.cluster, mode=mode, splits=["train"])
    files = describe_instance(job, "algo-2", plans, base=str(tmp_path))
    make_tree(files, list_hyperparameters(job))
    base = tmp_path / "algo-2/opt/ml"
    own = {
        "TrainingInputMode": written,
        "S3DistributionType": "ShardedByS3Key" if sharded else "FullyReplicated",
        "RecordWrapperType": "None",
    }
    meta = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    names = ["train0", "train1"] if mode is InputMode.PIPE else ["train"]
    assert read_json(base, "inputdataconfig.json") == {**dict.fromkeys(names, own), "meta": meta}
    assert load_job_files(str(base)) == files


def test_hosts_are_sorted_as_text_and_the_group_is_not(tmp_path: Path) -> None:
    job = make_job(InputMode.FILE, instances=12)
    make_tree(describe_instance(job, "algo-10", (), base=str(tmp_path)), {})
    document = read_json(tmp_path / "algo-10/opt/ml", "resourceconfig.json")
    assert isinstance(document, dict)
    assert document["hosts"][:4] == ["algo-1", "algo-10", "algo-11", "algo-12"]
    assert document["hosts"] == sorted(document["hosts"])
    (group,) = document["instance_groups"]
    assert group["hosts"] == document["hosts"][::-1]
    assert (document["current_host"], document["current_group_name"]) == ("algo-10", "homogeneousCluster")
    assert set(document) == {
        *("current_host", "hosts", "current_instance_type", "current_group_name", "instance_groups"),
        "network_interface_name",
    }


def test_hyperparameters_are_json_in_texts(tmp_path: Path) -> None:
    job = make_job(InputMode.FILE, launch=Launch.MPI)
    make_tree(describe_instance(job, "algo-1", (), base=str(tmp_path)), list_hyperparameters(job))
    assert read_json(tmp_path / "algo-1/opt/ml", "hyperparameters.json") == {
        "epochs": "3",
        "name": '"a b"',
        "text": '"4"',
        "sagemaker_mpi_enabled": "true",
        "sagemaker_program": '"true"',
        "sagemaker_mpi_num_of_processes_per_host": "2",
    }


def test_ranks_follow_the_hosts_as_text_and_the_group_under_mpi() -> None:
    def places(launch: Launch) -> list[tuple[int, str, int]]:
        ranks = list_ranks(make_job(InputMode.FILE, launch=launch))
        return [(rank.rank, rank.host, rank.local_rank) for rank in ranks]

    assert places(Launch.PROCESSES) == [(0, "algo-1", 0), (1, "algo-1", 1), (2, "algo-2", 0), (3, "algo-2", 1)]
    assert places(Launch.MPI) == [(0, "algo-2", 0), (1, "algo-2", 1), (2, "algo-1", 0), (3, "algo-1", 1)]
    assert list_hosts(make_job(InputMode.FILE, instances=11)) == host_names(11)


def test_a_failure_is_cut_as_sagemaker_cuts_it(tmp_path: Path) -> None:
    files = describe_instance(make_job(InputMode.FILE), "algo-1", (), base=str(tmp_path))
    make_tree(files, {})
    assert read_failure(files) == ""
    (tmp_path / "algo-1/opt/ml/output/failure").write_text("é" * 2000)
    assert read_failure(files) == "é" * 1024
