import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from packer.engines.engine import Engine
from packer.engines.local_engine import LocalEngine
from packer.errors import TaskStalledError, WorkerError
from tests.engines import tasks
from tests.engines.engine_contract import EngineContract, ignore

ROOT = Path(__file__).parents[2]


class TestLocalEngine(EngineContract):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        with LocalEngine(2) as engine:
            yield engine


def test_work_is_spread_over_the_workers() -> None:
    with LocalEngine(2) as engine:
        assert len(set(engine.run(tasks.process_of, None, range(8), ignore))) == 2


def test_a_worker_that_dies_is_replaced_and_its_task_done_again(tmp_path: Path) -> None:
    with LocalEngine(2) as engine:
        assert sorted(engine.run(tasks.die_once, str(tmp_path), range(6), ignore)) == list(range(6))
        assert dict(engine.run(tasks.square, 1, range(4), ignore)) == {0: 0, 1: 1, 2: 4, 3: 9}


def test_a_task_that_always_kills_its_worker_ends_the_run() -> None:
    with LocalEngine(2) as engine, pytest.raises(WorkerError, match=r"task 2: its worker was killed by signal 9"):
        list(engine.run(tasks.die_always, None, range(6), ignore))


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def start_script(folder: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Run an unguarded script, as a user may write it, until both of its workers are in the middle of a task."""
    script = folder / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        from packer.engines.local_engine import LocalEngine
        from tests.engines import tasks
        list(LocalEngine(2).run(tasks.sleep_long, {str(folder)!r}, range(4), lambda items, size: None))
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(script)], env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 20
    while len(marks := list(folder.glob("[0-9]*-*"))) < 2:
        assert time.monotonic() < deadline, "the workers did not start"
        time.sleep(0.02)
    return process, [int(mark.name.split("-")[1]) for mark in marks]


def wait_for_end(pids: list[int], timeout_s: float) -> float:
    started = time.monotonic()
    while any(map(is_running, pids)) and time.monotonic() - started < timeout_s:
        time.sleep(0.02)
    return time.monotonic() - started


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    process, pids = start_script(tmp_path)
    process.kill()
    process.wait()
    wait_for_end(pids, 10)
    assert not any(map(is_running, pids))


@pytest.mark.parametrize("to_group", [True, False], ids=["ctrl-c at a terminal", "signal to the parent alone"])
def test_an_interrupt_ends_all_within_two_seconds(tmp_path: Path, to_group: bool) -> None:
    process, pids = start_script(tmp_path)
    started = time.monotonic()
    if to_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    wait_for_end(pids, 10)
    assert time.monotonic() - started < 2
    assert not any(map(is_running, pids))


def test_no_more_than_two_workers_ran_the_script(tmp_path: Path) -> None:
    """A worker does not run its parent's script again, so a script needs no guard."""
    process, pids = start_script(tmp_path)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(pids) == len(list(tmp_path.glob("[0-9]*-*"))) == 2
    wait_for_end(pids, 10)


def test_workers_have_one_allocator_for_all() -> None:
    with LocalEngine(1) as engine:
        assert list(engine.run(tasks.memory_pool, None, [0], ignore)) == ["system"]


def test_an_error_of_the_system_is_told_in_one_line() -> None:
    with LocalEngine(1) as engine, pytest.raises(WorkerError) as caught:
        list(engine.run(tasks.fill_the_disk, None, [4], ignore))
    assert str(caught.value) == "task 4: /some/where: No space left on device; mend that, then go on with `resume=True`"


def test_a_connection_that_a_task_loses_is_not_taken_for_a_dead_worker() -> None:
    with LocalEngine(1) as engine, pytest.raises(WorkerError, match="^task 4: Connection reset by peer; mend that"):
        list(engine.run(tasks.lose_a_connection, None, [4], ignore))


def test_a_blocked_task_ends_the_run(tmp_path: Path) -> None:
    with (
        LocalEngine(1, stall_limit_s=0.5) as engine,
        pytest.raises(
            TaskStalledError, match=r"^task 7: expected an item done, .* at least every 0\.5 s, found neither"
        ),
    ):
        list(engine.run(tasks.block_always, str(tmp_path), [7], ignore))
