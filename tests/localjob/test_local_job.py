"""Whole jobs as processes: what ranks see, how jobs end, and that nothing is left of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from packer.specs import FormatName
from tests.localjob.jobs import finish, make_small, result_of, run, start
from tests.tools.datasets import STREAMED

READER = Path(__file__).with_name("reader.py")
TWO_BY_TWO = ("--instances", 2, "--gpus-per-instance", 2)
LAUNCHES = ["processes", pytest.param("mpi", marks=pytest.mark.horovod)]

pytestmark = pytest.mark.slow


@pytest.fixture(params=LAUNCHES)
def launch(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Options of one way to start ranks."""
    if request.param == "mpi" and not shutil.which("mpirun"):
        pytest.skip("mpirun is not installed")
    return ("--mpi",) if request.param == "mpi" else ()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    make_small(folder)
    return folder


def reader(out: Path, *what: object) -> list[object]:
    return [sys.executable, READER, out, *what]


def said(out: Path, rank: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / f"{rank}.json").read_text())
    return document


def wait_for_ranks(out: Path, count: int) -> None:
    deadline_s = time.monotonic() + 30
    while len(list(out.glob("*.json"))) < count:
        assert time.monotonic() < deadline_s, "the ranks do not start"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"


def assert_none_left(out: Path, base: Path) -> None:
    """No rank runs, and no FIFO is left in the instances' folders."""
    pids = [json.loads(path.read_text())["pid"] for path in out.glob("*.json")]
    assert pids
    deadline_s = time.monotonic() + 5
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline_s, "a rank still runs"
        time.sleep(0.05)
    assert not [path for path in base.glob("algo-*/**/*") if stat.S_ISFIFO(path.lstat().st_mode)]


def test_each_rank_sees_its_instance(small: Path, tmp_path: Path, launch: tuple[str, ...]) -> None:
    done = run(small, *TWO_BY_TWO, *launch, "--hyperparameter", "lr=0.1", command=reader(tmp_path, "say"))
    assert done.returncode == 0, done.stderr
    ranks = [said(tmp_path, rank) for rank in range(4)]
    assert [rank["place"] for rank in ranks] == [[r, r % 2, 4, 2] for r in range(4)]
    hosts = ["algo-1", "algo-1", "algo-2", "algo-2"]
    assert [rank["host"] for rank in ranks] == (hosts[::-1] if launch else hosts)
    current = ["algo-2"] * 4 if launch else hosts  # mpirun passes the first host's variables on
    assert [rank["sm"]["SM_CURRENT_HOST"] for rank in ranks] == current
    assert {rank["sm"]["SM_HP_LR"] for rank in ranks} == {"0.1"}
    assert [rank["arguments"] for rank in ranks] == [["--lr", "0.1"]] * 4
    shares = [rank["channels"]["train"] for rank in ranks]
    assert shares[0] == shares[1]
    assert shares[2] == shares[3]
    assert sorted(shares[0] + shares[2]) == [f"train-{index:05d}-of-00008.tfrecord" for index in range(8)]
    assert len(shares[0]) == 4
    assert {tuple(rank["channels"]["meta"]) for rank in ranks} == {("manifest.json",)}
    for rank in range(4):
        assert f"[{rank}] rank {rank} says hello" in done.stdout.splitlines()
        assert f"[{rank}] rank {rank} complains" in done.stderr.splitlines()
    assert "rank  instance  local rank  exit" in done.stdout


@pytest.mark.parametrize("mode", ["FastFile", "FileSystem"])
def test_a_view_shows_the_whole_split_on_each_instance(small: Path, tmp_path: Path, mode: str) -> None:
    done = run(small, "--instances", 2, "--mode", mode, "--splits", "train", command=reader(tmp_path, "say"))
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        channels = said(tmp_path, rank)["channels"]
        assert channels["train"] == [f"train-{index:05d}-of-00008.tfrecord" for index in range(8)]
        assert "manifest.json" in channels["meta"]
        assert set(channels) == {"train", "meta"}


@pytest.mark.parametrize("container", STREAMED)
def test_fifos_carry_each_shard_once_an_epoch(tmp_path: Path, container: FormatName, launch: tuple[str, ...]) -> None:
    manifest = make_small(tmp_path / "set", container=container)
    (tmp_path / "out").mkdir()
    done = run(
        tmp_path / "set",
        *(*TWO_BY_TWO, *launch, "--mode", "Pipe", "--splits", "train", "--shuffle-seed", 3, "--json"),
        command=reader(tmp_path / "out", "epochs", 2),
    )
    assert done.returncode == 0, done.stderr
    shards = [(tmp_path / "set" / entry.key).read_bytes() for entry in manifest.split("train").shards]
    ranks = [json.loads((tmp_path / "out" / f"{rank}.epochs").read_text()) for rank in range(4)]
    for epoch in (0, 1):
        streams = [bytes.fromhex(rank[epoch]) for rank in ranks]
        found = [index for stream in streams for index, shard in enumerate(shards) if shard in stream]
        assert sorted(found) == list(range(8))
        assert sum(map(len, streams)) == sum(map(len, shards))
    result = result_of(done)
    assert result["ok"] is True
    assert [(use["epochs_read"], use["epochs_closed_early"]) for use in result["channels"]] == [(2, 0)] * 4
    assert "[0] rank 0 says hello" in done.stderr


def test_one_rank_that_fails_ends_the_others(small: Path, tmp_path: Path, launch: tuple[str, ...]) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    out.mkdir()
    started_s = time.monotonic()
    done = run(small, *TWO_BY_TWO, *launch, "--base-dir", base, "--json", command=reader(out, 3))
    assert done.returncode == 1
    assert time.monotonic() - started_s < 20
    result = result_of(done)
    codes = [rank["exit_code"] for rank in result["ranks"]]
    assert codes[1] == 3
    assert 0 not in codes
    assert [text for _, text in result["failures"]] == ["rank 1 cannot go on"]
    assert_none_left(out, base)


def test_a_rank_that_is_killed_ends_the_others(small: Path, tmp_path: Path, launch: tuple[str, ...]) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    out.mkdir()
    done = run(small, *TWO_BY_TWO, *launch, "--mode", "Pipe", "--base-dir", base, command=reader(out, "killed"))
    assert done.returncode == 1
    assert [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("1 ")] == ["-9"]
    assert_none_left(out, base)


@pytest.mark.parametrize(
    ("number", "what", "expected"),
    [(signal.SIGINT, "sleep", 130), (signal.SIGTERM, "sleep", 1), (signal.SIGTERM, "tidy", 0)],
)
def test_a_signal_is_passed_on(
    small: Path, tmp_path: Path, launch: tuple[str, ...], number: int, what: str, expected: int
) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    out.mkdir()
    process = start(small, *TWO_BY_TWO, *launch, "--mode", "Pipe", "--base-dir", base, command=reader(out, what))
    wait_for_ranks(out, 4)
    process.send_signal(number)
    done = finish(process)
    assert done.returncode == expected, done.stdout + done.stderr
    if what == "tidy":
        assert len(list(out.glob("*.tidy"))) == 4
    assert_none_left(out, base)


def test_ranks_that_ignore_a_signal_are_killed_after_the_grace(
    small: Path, tmp_path: Path, launch: tuple[str, ...]
) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    out.mkdir()
    process = start(
        small, *TWO_BY_TWO, *launch, "--grace-s", "0.5", "--base-dir", base, command=reader(out, "stubborn")
    )
    wait_for_ranks(out, 4)
    process.send_signal(signal.SIGTERM)
    started_s = time.monotonic()
    assert finish(process).returncode == 1
    assert 0.4 < time.monotonic() - started_s < 10
    assert_none_left(out, base)


def test_a_second_signal_does_not_wait_for_the_grace(small: Path, tmp_path: Path) -> None:
    process = start(small, "--grace-s", "60", command=reader(tmp_path, "stubborn"))
    wait_for_ranks(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    started_s = time.monotonic()
    assert finish(process).returncode == 130
    assert time.monotonic() - started_s < 10


def test_what_ranks_leave_running_is_ended(small: Path, tmp_path: Path, launch: tuple[str, ...]) -> None:
    done = run(small, *launch, command=reader(tmp_path, "child"))
    assert done.returncode == 0, done.stderr
    deadline_s = time.monotonic() + 5
    while is_running(int((tmp_path / "0.child").read_text())):
        assert time.monotonic() < deadline_s, "a child of a rank still runs"
        time.sleep(0.05)


def test_a_job_that_is_killed_takes_its_ranks_and_fifos_with_it(
    small: Path, tmp_path: Path, launch: tuple[str, ...]
) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    out.mkdir()
    process = start(small, *TWO_BY_TWO, *launch, "--mode", "Pipe", "--base-dir", base, command=reader(out, "stubborn"))
    wait_for_ranks(out, 4)
    process.kill()
    process.communicate()
    deadline_s = time.monotonic() + 10
    while [path for path in base.glob("algo-*/**/*") if stat.S_ISFIFO(path.lstat().st_mode)]:
        assert time.monotonic() < deadline_s, "FIFOs are left"
        time.sleep(0.05)
    assert_none_left(out, base)


def test_a_stray_object_below_the_prefix_is_in_the_view(tmp_path: Path) -> None:
    make_small(tmp_path / "set")
    (tmp_path / "set/train/stray").touch()
    done = run(tmp_path / "set", "--mode", "FastFile", command=reader(tmp_path, "say"))
    assert done.returncode == 0, done.stderr
    assert "stray" in said(tmp_path, 0)["channels"]["train"]


def test_a_file_in_the_view_is_none_in_the_data_set(small: Path) -> None:
    script = "touch $SAGEMAKER_BASE_DIR/input/data/train/mine"
    assert run(small, "--mode", "FastFile", command=["sh", "-c", script]).returncode == 0
    assert not (small / "train/mine").exists()


def test_names_with_blanks_pass_through_unharmed(small: Path, tmp_path: Path, launch: tuple[str, ...]) -> None:
    script = 'echo "$SAGEMAKER_BASE_DIR|$1|$2"'
    done = run(small, *launch, "--base-dir", tmp_path / "a b", command=["sh", "-c", script, "sh", "x y", '"$z"'])
    assert f'[0] {tmp_path}/a b/algo-1/opt/ml|x y|"$z"' in done.stdout.splitlines(), done.stderr


def test_a_fifo_that_nobody_reads_is_named(small: Path, tmp_path: Path) -> None:
    done = run(small, "--mode", "Pipe", command=reader(tmp_path, "epochs", 1))
    assert done.returncode == 0
    assert "algo-1: nobody read channel val0" in done.stdout
    assert "nobody read channel train0" not in done.stdout


def test_a_folder_that_is_taken_and_one_in_the_data_set_are_refused(small: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    taken = run(small, "--base-dir", tmp_path, command=["true"])
    assert (taken.returncode, "expected an empty folder or a new one" in taken.stderr) == (2, True)
    inside = run(small, "--base-dir", small / "job", command=["true"])
    assert (inside.returncode, "expected a folder outside of the data set" in inside.stderr) == (2, True)
    assert not (small / "job").exists()


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    make_small(tmp_path)
    (tmp_path / "val/val-00003-of-00008.tfrecord").unlink()
    done = run(tmp_path, command=["true"])
    assert done.returncode == 1
    assert "val/val-00003-of-00008.tfrecord: expected a shard, found no file" in done.stderr


def test_the_temporary_folder_is_removed_and_the_data_set_is_not(small: Path, tmp_path: Path) -> None:
    done = run(small, "--mode", "FileSystem", command=["sh", "-c", "echo $SAGEMAKER_BASE_DIR"])
    base = next(line for line in done.stdout.splitlines() if line.startswith("[0] ")).removeprefix("[0] ")
    assert base.endswith("/algo-1/opt/ml")
    assert not Path(base).exists()
    assert (small / "manifest.json").exists()
