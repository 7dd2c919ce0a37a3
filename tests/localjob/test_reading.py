"""Real jobs whose ranks read two epochs through shardpack's own readers: files and FIFOs, each record exactly once."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.localjob.jobs import FIRST_VAL, NUM_TRAIN, NUM_VAL, make_small, result_of, run
from tests.tools.datasets import STREAMED

pytestmark = pytest.mark.slow

READER = Path(__file__).with_name("read_channels.py")
WORLDS = {"1x2": ("--instances", 1, "--gpus-per-instance", 2), "2x4": ("--instances", 2, "--gpus-per-instance", 4)}
WAYS = {
    "File": "File, ShardedByS3Key",
    "FastFile": "FastFile, FullyReplicated",
    "FileSystem": "File, FullyReplicated",
    "Pipe": "Pipe",
}


@pytest.fixture(scope="module", params=STREAMED)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    make_small(folder, container=request.param)
    return folder


def read_all(small: Path, out: Path, *options: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run a job of readers; return what each rank wrote, and the job's result."""
    done = run(small, *options, "--json", command=[sys.executable, READER, out, 5])
    assert done.returncode == 0, done.stderr
    result = result_of(done)
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(len(result["ranks"]))], result


def check_exactly_once(ranks: list[dict[str, Any]]) -> None:
    for split, total in (("train", NUM_TRAIN), ("val", NUM_VAL)):
        for epoch in (0, 1):
            labels = [rank["epochs"][split][epoch] for rank in ranks]
            first = 0 if split == "train" else FIRST_VAL
            assert sorted(itertools.chain(*labels)) == list(range(first, first + total))
            if split == "train":
                assert {len(own) for own in labels} == {total // len(ranks)}
    assert {tuple(rank["loaded"]) for rank in ranks} == {()}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("mode", ["File", "FastFile", "Pipe"])
def test_each_record_is_read_exactly_once_an_epoch(small: Path, tmp_path: Path, mode: str, world: str) -> None:
    shuffle = () if mode == "FastFile" else ("--shuffle-seed", 1)
    ranks, result = read_all(small, tmp_path, *WORLDS[world], "--mode", mode, "--assignment-seed", 3, *shuffle)
    check_exactly_once(ranks)
    assert {tuple(rank["ways"]) for rank in ranks} == {(WAYS[mode],) * 2}
    if mode == "Pipe":
        assert {(use["epochs_read"], use["epochs_closed_early"]) for use in result["channels"]} == {(2, 0)}


def test_a_mounted_file_system_reads_as_files(small: Path, tmp_path: Path) -> None:
    ranks, _ = read_all(small, tmp_path, *WORLDS["2x4"], "--mode", "FileSystem")
    check_exactly_once(ranks)
    assert {tuple(rank["ways"]) for rank in ranks} == {(WAYS["FileSystem"],) * 2}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shuffled_pipes_give_other_records_to_an_instance_in_each_epoch(tmp_path: Path, seed: int) -> None:
    make_small(tmp_path / "set", num_shards=32)
    (tmp_path / "out").mkdir()
    options = (*WORLDS["2x4"], "--mode", "Pipe", "--shuffle-seed", 1, "--assignment-seed", seed)
    ranks, _ = read_all(tmp_path / "set", tmp_path / "out", *options)
    check_exactly_once(ranks)
    first, second = (sorted(ranks[0]["epochs"]["train"][e] + ranks[1]["epochs"]["train"][e]) for e in (0, 1))
    assert first != second


@pytest.mark.horovod
@pytest.mark.parametrize("mode", ["File", "FastFile", "Pipe"])
def test_under_mpi_each_record_is_read_exactly_once_too(tmp_path: Path, mode: str) -> None:
    if not shutil.which("mpirun"):
        pytest.skip("mpirun is not installed")
    make_small(tmp_path / "set")
    (tmp_path / "out").mkdir()
    ranks, _ = read_all(tmp_path / "set", tmp_path / "out", *WORLDS["2x4"], "--mode", mode, "--mpi")
    check_exactly_once(ranks)
