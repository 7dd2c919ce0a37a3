"""The parts that figures rest on: CPU time of whole process trees, passes in turns, and the file server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.benchmarks.measure import run_in_slices
from tests.benchmarks.peers.record_peers import CONTAINERS, SHARDPACK, Container, hold_records_contest
from tests.benchmarks.peers.result_tables import print_records

HERE = Path(__file__).parent
BURN = "import time\nwhile time.process_time() < 0.4: pass"


def cost_of(log: Path, *command: str, limit_s: float = 30) -> dict[str, float]:
    whole = [sys.executable, str(HERE / "tree_cost.py"), str(log), str(limit_s), *command]
    cost: dict[str, float] = json.loads(subprocess.run(whole, check=True, capture_output=True).stdout)
    return cost


@pytest.mark.slow
def test_the_cpu_time_of_an_orphan_is_counted(tmp_path: Path) -> None:
    leave_behind = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN!r}], start_new_session=True)"
    assert cost_of(tmp_path / "log", sys.executable, "-c", leave_behind)["cpu_s"] >= 0.4


def test_status_and_output_of_the_command_are_kept(tmp_path: Path) -> None:
    cost = cost_of(tmp_path / "log", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert cost["status"] == 3
    assert (tmp_path / "log").read_text() == "out\nerr\n"


@pytest.mark.slow
def test_a_command_that_runs_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    cost = cost_of(tmp_path / "log", "sh", "-c", "sleep 25 & sleep 25", limit_s=0.5)
    assert cost["status"] == 124
    assert cost["wall_s"] < 10


@pytest.mark.slow
def test_every_pass_has_one_of_shardpacks_beside_it(tmp_path: Path) -> None:
    recordio = CONTAINERS[1]
    contest = hold_records_contest(tmp_path, [SHARDPACK, recordio], rounds=2, num_records=50, record_bytes=1000)
    assert contest.errors == {}
    for part, count in ((contest.writing, 6), (contest.reading, 2), (contest.reading_again, 6)):
        assert [(len(passes.ours), len(passes.theirs)) for passes in part.values()] == [(count, count)] * 2
        assert all(cpu_s > 0 for passes in part.values() for cpu_s in (*passes.ours, *passes.theirs, passes.ratio))


@pytest.mark.slow
def test_what_fails_is_named_and_not_run_again(tmp_path: Path) -> None:
    broken = Container(name="broken", script="no_such_adapter")
    contest = hold_records_contest(tmp_path, [broken, SHARDPACK], rounds=2, num_records=5, record_bytes=1000)
    assert "No such file" in contest.errors["broken"]
    assert list(contest.to_json()["writing"]) == [SHARDPACK.name]


def test_the_server_serves_the_files_of_its_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"photograph" * 100_000)
    (tmp_path / "secret").write_bytes(b"no")
    command = [sys.executable, str(HERE / "file_server.py"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        base = f"http://127.0.0.1:{int(server.stdout.readline())}"
        try:
            with urllib.request.urlopen(f"{base}/a.jpg", timeout=10) as answer:
                assert answer.read() == b"photograph" * 100_000
            for missing in ("b.jpg", "../secret"):
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    urllib.request.urlopen(f"{base}/{missing}", timeout=10)
        finally:
            server.terminate()


@pytest.mark.slow
def test_of_processes_in_slices_one_runs_at_a_time() -> None:
    """Side by side they would be done, on two cores, in half of the time that they compute for."""
    work = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass\nprint('done')"
    started = time.monotonic()
    costs = run_in_slices([[sys.executable, "-c", work]] * 3, slice_s=0.05)
    wall_s = time.monotonic() - started
    assert [cost.stdout for cost in costs] == ["done\n"] * 3
    assert all(cost.cpu_s >= 0.5 for cost in costs)
    assert sum(cost.cpu_s for cost in costs) <= 1.1 * sum(cost.wall_s for cost in costs) <= 1.1 * wall_s


@pytest.mark.slow
def test_a_process_in_slices_that_fails_ends_the_others(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    sleeping = ["sh", "-c", f"echo $$ > {pid}; sleep 60"]
    failing = ["sh", "-c", f"until [ -s {pid} ]; do sleep 0.01; done; exit 3"]
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        run_in_slices([sleeping, failing])
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_tables_of_records_where_every_container_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = Container(name="broken", script="no_such_adapter")
    print_records(hold_records_contest(tmp_path, [broken], rounds=1, num_records=5, record_bytes=1000))
    assert "broken: failed: " in capsys.readouterr().out
