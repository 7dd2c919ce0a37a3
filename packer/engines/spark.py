"""Tasks on Apache Spark: the only module that imports pyspark.

One partition is one task: ``spark.range(0, n, 1, n)`` cuts [0, n) into n slices of one number. (Hash and range
partitioning put several of 256 numbers into one partition and leave others empty.) What moves is the context, task
numbers and results, never an image.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from packer.engines.base import Task, Tick
from packer.errors import PackerError, WorkerError
from packer.extras import require_extra

_POLL_S = 0.5


class SparkEngine:
    """Runs tasks in the SparkSession that is active, or in one that it makes and then also stops."""

    def __init__(self) -> None:
        sql = require_extra("pyspark.sql", "spark", purpose="the spark engine")
        active = sql.SparkSession.getActiveSession()
        self._owns_session = active is None
        self._spark = active or sql.SparkSession.builder.appName("shardpack").getOrCreate()

    def run(self, function: Task, context: Any, tasks: Sequence[int], tick: Tick) -> Iterator[Any]:
        """See `Engine.run`; results come when all tasks are done, since Spark reports no single ones."""
        if not tasks:
            return
        spark = self._spark.sparkContext
        num_items, num_bytes = spark.accumulator(0), spark.accumulator(0)
        run_task = _remote(function, spark.broadcast((context, list(tasks))), num_items.add, num_bytes.add)
        numbers = self._spark.range(0, len(tasks), 1, len(tasks)).rdd
        stop = threading.Event()
        reporter = threading.Thread(target=_report, args=(num_items, num_bytes, tick, stop), daemon=True)
        reporter.start()
        try:
            outcomes = numbers.mapPartitions(run_task).collect()
        except Exception as error:  # py4j's error wraps whatever the cluster raised
            raise _as_packer_error(error) from None
        finally:
            stop.set()
            reporter.join()
        for kind, value in outcomes:
            if kind == "error":
                raise value
        yield from (value for _, value in outcomes)

    def close(self) -> None:
        """Stop running jobs and, if this engine made it, the session. See `Engine.close`."""
        self._spark.sparkContext.cancelAllJobs()
        if self._owns_session:
            self._spark.stop()


def _remote(
    function: Task, shared: Any, add_items: Callable[[int], None], add_bytes: Callable[[int], None]
) -> Callable[[Iterable[Any]], Iterator[tuple[str, Any]]]:
    """Return what a partition runs. A PackerError is an outcome, since trying again would not mend it."""

    def run(rows: Iterable[Any]) -> Iterator[tuple[str, Any]]:
        def count(num_items: int, num_bytes: int) -> None:
            add_items(num_items)
            add_bytes(num_bytes)

        for row in rows:
            context, tasks = shared.value
            try:
                yield "done", function(context, tasks[row.id], count)
            except PackerError as error:
                yield "error", error

    return run


def _report(num_items: Any, num_bytes: Any, tick: Tick, stop: threading.Event) -> None:
    """Hand on what the accumulators gained; Spark adds to them when a task ends."""
    seen_items = seen_bytes = 0
    finished = False
    while not finished:
        finished = stop.wait(_POLL_S)
        items, size = num_items.value, num_bytes.value
        if items > seen_items:
            tick(items - seen_items, size - seen_bytes)
            seen_items, seen_bytes = items, size


def _as_packer_error(error: Exception) -> PackerError:
    text = str(error)
    last = [line.strip() for line in text.splitlines() if line.strip()]
    cause = next((line for line in reversed(last) if "Error" in line and not line.startswith("at ")), text[:500])
    return WorkerError(f"Spark gave up on a task: {cause}; Spark's own log has the whole trace")
