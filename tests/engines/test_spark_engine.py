import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark")

from packer.engines.engine import Engine
from packer.engines.spark_engine import SparkEngine
from packer.errors import CorruptRecordError, PackerError, WorkerError
from tests.engines import spark_tasks, tasks
from tests.engines.engine_contract import EngineContract, ignore
from tests.tools.spark_sessions import ROOT, spark_session

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def cluster() -> Iterator[Engine]:
    with spark_session("local-cluster[2,1,1024]"):
        engine = SparkEngine()
        yield engine
        engine.close()


class TestSparkEngine(EngineContract):
    @pytest.fixture
    def engine(self, cluster: Engine) -> Engine:
        return cluster


def test_an_exchange_hands_each_receiver_its_own(cluster: SparkEngine) -> None:
    found = dict(cluster.exchange(tasks.send_multiples, tasks.receive_sorted, 2, senders=9, receivers=4))
    expected = {number: [] for number in range(4)}
    for sender in range(9):
        for count in range(2):
            expected[(sender + count) % 3].append(b"%d:%d" % (sender, count))
    assert found == {number: sorted(blobs) for number, blobs in expected.items()}


@pytest.mark.parametrize("context", [-2, 91], ids=["by a sender", "by a receiver"])
def test_an_error_in_an_exchange_comes_as_it_is(context: int, cluster: SparkEngine) -> None:
    with pytest.raises(CorruptRecordError) as caught:
        list(cluster.exchange(tasks.send_multiples, tasks.receive_sorted, context, senders=9, receivers=4))
    assert caught.value.offset_bytes == 1234


def test_two_executors_work(cluster: Engine) -> None:
    assert len(set(cluster.run(tasks.process_of, None, range(8), ignore))) >= 2


def test_one_partition_is_one_task(cluster: Engine) -> None:
    """Hash partitioning of 64 numbers would put several into one partition."""
    assert sorted(cluster.run(spark_tasks.partition_of, None, range(64), ignore)) == list(range(64))


def test_an_application_that_was_there_is_left_alone(cluster: Engine) -> None:
    SparkEngine().close()
    assert dict(cluster.run(tasks.square, 1, [2], ignore)) == {2: 4}


def test_results_come_while_tasks_run(cluster: Engine, tmp_path: Path) -> None:
    results: Any = cluster.run(spark_tasks.mark, str(tmp_path), range(1, 31), ignore)
    next(results)
    assert len(list(tmp_path.iterdir())) < 30
    results.close()


def test_the_first_error_ends_the_run(cluster: Engine, tmp_path: Path) -> None:
    with pytest.raises(PackerError, match=r"^task 0 cannot be done$"):
        list(cluster.run(spark_tasks.mark, str(tmp_path), range(60), ignore))
    time.sleep(1)
    started = len(list(tmp_path.iterdir()))
    assert started < 30
    time.sleep(1)
    assert len(list(tmp_path.iterdir())) == started


def test_an_attempt_that_is_lost_is_made_again_and_counted_once(cluster: Engine) -> None:
    seen: list[tuple[int, int]] = []
    context = (tasks.square, 1)
    run = cluster.run(spark_tasks.fail_even_tasks_once, context, range(8), lambda *counts: seen.append(counts))
    assert sorted(run) == sorted((1 - task % 2, (task, task * task)) for task in range(8))
    assert [sum(column) for column in zip(*seen, strict=True)] == [8, 80]


def test_an_unforeseen_error_is_told_in_one_line(cluster: Engine) -> None:
    with pytest.raises(WorkerError) as caught:
        list(cluster.run(tasks.bug_on_three, None, [3], ignore))
    assert str(caught.value) == (
        "task 3: failed 4 times on Spark, at last with ZeroDivisionError: integer division or modulo by zero; "
        "Spark's own log has the whole trace"
    )


def test_a_task_that_kills_its_worker_ends_the_run(cluster: Engine) -> None:
    with pytest.raises(WorkerError, match=r"^task 2: failed 4 times on Spark, at last with .*exited unexpectedly"):
        list(cluster.run(tasks.die_always, None, [2], ignore))


def test_only_the_jobs_of_the_run_are_cancelled(cluster: SparkEngine, tmp_path: Path) -> None:
    """Another user of the application goes on, and its job group is what it was."""
    counts: list[int] = []

    def slept(rows: object) -> list[int]:
        time.sleep(0.5)
        return [1]

    def count() -> None:
        numbers = cluster._spark.range(0, 6, 1, 6).mapPartitions(slept)
        counts.append(sum(numbers.collect()))

    other = threading.Thread(target=count)
    other.start()
    cluster._spark.setLocalProperty("spark.jobGroup.id", "mine")
    with pytest.raises(PackerError):
        list(cluster.run(spark_tasks.mark, str(tmp_path), range(20), ignore))
    cluster.close()
    other.join()
    assert counts == [6]
    assert cluster._spark.getLocalProperty("spark.jobGroup.id") == "mine"
    assert not cluster._spark.getJobTags()


@pytest.mark.slow
def test_a_task_that_is_blocked_is_made_again(cluster: Engine, tmp_path: Path) -> None:
    engine = SparkEngine(stall_limit_s=3)
    assert sorted(engine.run(tasks.block_once, str(tmp_path), range(3), ignore)) == [0, 1, 2]
    found = dict(
        engine.exchange(tasks.send_after_a_block, tasks.receive_after_a_block, str(tmp_path), senders=2, receivers=2)
    )
    assert found == {0: [b"0", b"1"], 1: [b"0", b"1"]}
    assert {path.name for path in tmp_path.glob("*.fifo")} == {"task.fifo", "sender.fifo", "receiver.fifo"}


@pytest.mark.slow
def test_a_task_that_is_blocked_each_time_ends_the_run(cluster: Engine, tmp_path: Path) -> None:
    engine = SparkEngine(stall_limit_s=1)
    with pytest.raises(WorkerError, match=r"^task 7: failed 4 times on Spark, .*TaskStalledError: task 7: expected an"):
        list(engine.run(tasks.block_always, str(tmp_path), [7], ignore))


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("to_group", [True, False], ids=["ctrl-c at a terminal", "signal to the driver alone"])
def test_an_interrupt_ends_all_soon(tmp_path: Path, to_group: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        from packer.engines.spark_engine import SparkEngine
        from tests.engines import tasks
        engine = SparkEngine()
        try:
            list(engine.run(tasks.sleep_long, {str(tmp_path)!r}, range(8), lambda items, size: None))
        finally:
            engine.close()
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    environment["PYSPARK_SUBMIT_ARGS"] = "--master local[2] --conf spark.ui.enabled=false pyspark-shell"
    process = subprocess.Popen(
        [sys.executable, str(script)], env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(marks := list(tmp_path.glob("[0-9]*-*"))) < 2:
        assert time.monotonic() < deadline, "no task started"
        time.sleep(0.05)
    if to_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=15)
    assert messages.strip().splitlines()[-1] == "KeyboardInterrupt"
    deadline = time.monotonic() + 10
    workers = [int(mark.name.split("-")[1]) for mark in marks]
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, "a worker is left"
        time.sleep(0.05)
    assert len(list(tmp_path.glob("[0-9]*-*"))) == 2, "more tasks were started after the interrupt"
