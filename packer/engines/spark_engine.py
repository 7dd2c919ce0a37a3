"""Tasks on Apache Spark: the only module that imports pyspark.

One partition is one task: ``SparkContext.range(0, n, 1, n)`` cuts [0, n) into n slices of one number. (Hash and range
partitioning put several of 256 numbers into one partition and leave others empty.) What moves is the context, task
numbers and results, never an image.

    driver    a thread of its own waits for the one Spark job of a run; the caller's takes outcomes as they come
    executor  an outcome goes into an accumulator, which Spark hands to the driver when its task ends, once a task

So the first error ends the run, and a caller may stop whenever it has seen enough. A run's job carries a tag of its
own: nothing else in a shared Spark application is ever cancelled.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import sys
import threading
import uuid
import zipimport
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple

from packer.engines.engine import Context, Receive, Result, Send, Task, Tick
from packer.engines.spark_memory import memory_notice
from packer.engines.stalled import STALL_LIMIT_S, Signs, iterate_limited, run_limited
from packer.errors import OptionsError, PackerError, TaskStalledError, WorkerError
from packer.extras import require_extra
from packer.logs import inherited_settings, start_logs
from packer.without_pandas import let_pandas_in

_POLL_S = 0.1
_CANCEL_TIMEOUT_S = 10.0
_JAVA_REMEDY = "install it (Debian's openjdk-17-jre-headless) or let JAVA_HOME name it, or give `engine=local`"


class _Outcome(NamedTuple, Generic[Result]):
    """What became of one task."""

    position: int
    """Index into the run's task numbers."""
    value: Result | PackerError
    """What it returned, or the error that it raised."""
    num_items: int
    num_bytes: int


class _Outcomes(Generic[Result]):
    """How Spark adds up outcomes: a list grows. (Spark's AccumulatorParam, by its methods.)"""

    def zero(self, value: list[_Outcome[Result]]) -> list[_Outcome[Result]]:
        return []

    def addInPlace(self, value1: list[_Outcome[Result]], value2: list[_Outcome[Result]]) -> list[_Outcome[Result]]:
        value1.extend(value2)
        return value1


class SparkEngine:
    """Runs tasks in the Spark application that is there, or in one that it starts and then also stops."""

    def __init__(self, *, stall_limit_s: float = STALL_LIMIT_S) -> None:
        """A task without a sign of progress for `stall_limit_s` fails, and Spark tries it again; see stalled.py."""
        self._stall_limit_s = stall_limit_s
        let_pandas_in()  # which Spark asks for
        pyspark = require_extra("pyspark", "spark", purpose="the spark engine")
        _refuse_connect(pyspark)
        # Not getActiveSession: a context without a session, or with one of another thread, is somebody's too.
        self._owns_spark = pyspark.SparkContext._active_spark_context is None
        self._spark = _start_spark(pyspark) if self._owns_spark else pyspark.SparkContext.getOrCreate()
        self._jobs: list[_Job[Any]] = []
        notice = memory_notice(dict(self._spark.getConf().getAll()))
        self.notices = () if notice is None else (notice,)
        """What should be known before anything runs, in plain sentences."""

    def run(
        self, function: Task[Context, Result], context: Context, tasks: Sequence[int], tick: Tick
    ) -> Iterator[Result]:
        """See `Engine.run`."""
        if not tasks:
            return
        job: _Job[Result] = _Job(self._spark, function.__name__, tasks)
        shared = job.share((context, list(tasks)))
        run_partition = _remote(function, shared, job.arrived.add, self._stall_limit_s)
        for outcome in self._outcomes(
            job, self._spark.range(0, len(tasks), 1, len(tasks)).mapPartitions(run_partition)
        ):
            if outcome.num_items or outcome.num_bytes:
                tick(outcome.num_items, outcome.num_bytes)
            if isinstance(outcome.value, PackerError):
                raise outcome.value
            yield outcome.value

    def exchange(
        self, send: Send[Context], receive: Receive[Context, Result], context: Context, *, senders: int, receivers: int
    ) -> Iterator[Result]:
        """See `ExchangingEngine.exchange`. One Spark job of two stages; what moves lies in Spark's shuffle files."""
        job: _Job[Result] = _Job(self._spark, receive.__name__, range(receivers))
        shared = job.share(context)
        sent = self._spark.range(0, senders, 1, senders).mapPartitions(
            _remote_sender(send, shared, self._stall_limit_s)
        )
        received = sent.partitionBy(receivers, int).mapPartitionsWithIndex(
            _remote_receiver(receive, shared, job.arrived.add, self._stall_limit_s)
        )
        for outcome in self._outcomes(job, received):
            if isinstance(outcome.value, PackerError):
                raise outcome.value
            yield outcome.value

    def _outcomes(self, job: _Job[Result], rdd: Any) -> Iterator[_Outcome[Result]]:
        self._jobs.append(job)
        try:
            job.start(rdd)
            yield from job.outcomes()
        finally:
            self._jobs.remove(job)
            job.cancel()

    def close(self) -> None:
        """Stop running jobs and, if this engine started it, Spark. See `Engine.close`."""
        for job in self._jobs:
            job.cancel()
        if self._owns_spark:
            # After Ctrl-C under spark-submit the JVM is gone first.
            with contextlib.suppress(*_connection_errors()):
                self._spark.stop()


class _Job(Generic[Result]):
    """The Spark job of one run."""

    def __init__(self, spark: Any, name: str, tasks: Sequence[int]) -> None:
        self._spark, self._tasks = spark, tasks
        self._tag = f"shardpack-{uuid.uuid4().hex}"
        self._description = f"{name}: {len(self._tasks)} tasks"
        outcomes: _Outcomes[Result] = _Outcomes()
        self.arrived = spark.accumulator([], outcomes)
        self._shared: list[Any] = []
        self._rdd: Any = None
        self._collected: list[_Outcome[Result]] = []
        self._error: Exception | None = None
        self._released = False
        self._ended = threading.Event()

    def share(self, value: Any) -> Any:
        """Return a broadcast of a value, for as long as the job lasts."""
        self._shared.append(self._spark.broadcast(value))
        return self._shared[-1]

    def start(self, rdd: Any) -> None:
        """Begin to compute the outcomes that `rdd` has, in a thread."""
        self._rdd = rdd
        pyspark = require_extra("pyspark", "spark", purpose="the spark engine")
        # This kind of thread takes over the caller's local properties, such as its scheduler pool.
        self._thread = pyspark.InheritableThread(target=self._collect, name="shardpack-job", daemon=True)
        self._thread.start()

    def outcomes(self) -> Iterator[_Outcome[Result]]:
        """Yield the outcome of each task once, as they come. Raises WorkerError when Spark gave up."""
        seen: set[int] = set()
        ended = False
        while not ended:
            ended = self._ended.wait(_POLL_S)
            for outcome in self.arrived.value[len(seen) :]:
                seen.add(outcome.position)
                yield outcome
        if self._error is not None:
            raise _as_worker_error(self._error, self._tasks) from None
        # Spark logs an accumulator's failure and goes on, so what it lost is taken from the job's own result.
        yield from (outcome for outcome in self._collected if outcome.position not in seen)

    def cancel(self) -> None:
        """End the job and free what it held. May be called more than once."""
        if self._released:
            return
        self._released = True
        with contextlib.suppress(*_connection_errors()):
            if not self._ended.is_set():
                self._spark.cancelJobsWithTag(self._tag)
                self._thread.join(_CANCEL_TIMEOUT_S)
            for shared in self._shared:
                shared.unpersist()
        self.arrived.value = []

    def _collect(self) -> None:
        try:
            self._spark.addJobTag(self._tag)
            self._spark.setJobDescription(self._description)
            self._collected = self._rdd.collect()
        except Exception as error:  # py4j's error wraps whatever the cluster raised
            self._error = error
        finally:
            self._ended.set()


def _refuse_connect(pyspark: Any) -> None:
    """Raise OptionsError under Spark Connect, whose clients have no context, accumulators or broadcasts."""
    is_client = not hasattr(pyspark, "SparkContext")  # the package pyspark-client has none
    if is_client or os.environ.get("SPARK_REMOTE") or "SPARK_CONNECT_MODE_ENABLED" in os.environ:
        raise OptionsError(
            "expected a Spark whose driver is this process, found Spark Connect, whose clients cannot run tasks of "
            "their own: start this program with spark-submit on the cluster, or give `engine=local`",
            field="engine",
        )


def _start_spark(pyspark: Any) -> Any:
    """Return a new context, which keeps the name that spark-submit was given.

    Raises OptionsError where there is no Java that can run it.
    """
    _start_java(pyspark)
    conf = pyspark.SparkConf()
    if conf.get("spark.app.name", "pyspark-shell") == "pyspark-shell":  # what pyspark calls any program
        conf.setAppName("shardpack")
    conf.set("spark.ui.showConsoleProgress", "false")  # its bar would be drawn over ours
    return pyspark.SparkContext.getOrCreate(conf)


def _start_java(pyspark: Any) -> None:
    home = os.environ.get("JAVA_HOME")
    program = os.path.join(home, "bin", "java") if home else "java"
    is_running = pyspark.SparkContext._gateway is not None or "PYSPARK_GATEWAY_PORT" in os.environ
    if not is_running and shutil.which(program) is None:
        place = f"JAVA_HOME, {home}, has no bin/java" if home else "there is no java on PATH"
        raise OptionsError(f"expected Java 17 for spark, but {place}; {_JAVA_REMEDY}", field="engine")
    try:
        pyspark.SparkContext._ensure_initialized()
    except pyspark.errors.PySparkRuntimeError as error:
        problem = " ".join(str(error).split())
        raise OptionsError(f"expected a Java that starts Spark: {problem}; {_JAVA_REMEDY}", field="engine") from None


def _connection_errors() -> tuple[type[Exception], ...]:
    """Return what a call to a JVM that has ended raises."""
    protocol = require_extra("py4j.protocol", "spark", purpose="the spark engine")
    return (protocol.Py4JError, OSError)


def _remote(
    function: Task[Context, Result],
    shared: Any,
    add: Callable[[list[_Outcome[Result]]], None],
    limit_s: float,
) -> Callable[[Iterable[int]], Iterator[_Outcome[Result]]]:
    """Return what a partition runs. A PackerError is an outcome, since trying again would not mend it."""

    logs = inherited_settings()  # those of the driver

    def run(positions: Iterable[int]) -> Iterator[_Outcome[Result]]:
        if logs is not None:
            start_logs(logs)
        context, tasks = shared.value
        for position in positions:
            outcome = _run_task(function, context, tasks[position], position, limit_s)
            add([outcome])
            yield outcome
        _lighten_worker()

    return run


def _remote_sender(
    send: Send[Context], shared: Any, limit_s: float
) -> Callable[[Iterable[int]], Iterator[tuple[int, Any]]]:
    """Return what a sending partition runs. A PackerError goes to a receiver, since trying again would not mend it."""

    def run(numbers: Iterable[int]) -> Iterator[tuple[int, Any]]:
        for number in numbers:
            try:
                yield from iterate_limited(send(shared.value, number), what=f"sender {number}", limit_s=limit_s)
            except TaskStalledError:
                raise
            except PackerError as error:
                yield 0, error

    return run


def _remote_receiver(
    receive: Receive[Context, Result],
    shared: Any,
    add: Callable[[list[_Outcome[Result]]], None],
    limit_s: float,
) -> Callable[[int, Iterable[tuple[int, Any]]], Iterator[_Outcome[Result]]]:
    """Return what a receiving partition runs."""

    def run(number: int, sent: Iterable[tuple[int, Any]]) -> Iterator[_Outcome[Result]]:
        signs = Signs()

        def get() -> Result | PackerError:
            try:
                return receive(shared.value, number, _blobs(sent, signs))
            except PackerError as error:
                return error

        outcome = _Outcome(number, run_limited(get, signs, what=f"receiver {number}", limit_s=limit_s), 0, 0)
        add([outcome])
        yield outcome
        _lighten_worker()

    return run


def _blobs(sent: Iterable[tuple[int, Any]], signs: Signs) -> Iterator[bytes]:
    for _, blob in sent:
        signs.give()
        if isinstance(blob, PackerError):
            raise blob
        yield blob


def _run_task(
    function: Task[Context, Result], context: Context, task: int, position: int, limit_s: float
) -> _Outcome[Result]:
    num_items = num_bytes = 0
    signs = Signs()

    def count(items: int, size: int) -> None:
        nonlocal num_items, num_bytes
        num_items += items
        num_bytes += size
        signs.give()

    def do() -> Result | PackerError:
        try:
            return function(context, task, count)
        except PackerError as error:
            return error

    value = run_limited(do, signs, what=f"task {task}", limit_s=limit_s)
    return _Outcome(position, value, num_items, num_bytes)


def _lighten_worker() -> None:
    """Spare this Python worker what pyspark does before and after each of its next tasks.

    Before one it calls `importlib.invalidate_caches`, for which Python before 3.12 reads the directory of pyspark.zip
    again for each of its 13 packages: about 0.1 s a task. Finders that are dropped from the cache are made anew when
    something is imported. After one it calls `gc.collect`, which need not look at what the libraries' modules hold.
    """
    dropped = [path for path, finder in sys.path_importer_cache.items() if isinstance(finder, zipimport.zipimporter)]
    for path in dropped:
        del sys.path_importer_cache[path]
    if not gc.get_freeze_count():
        gc.freeze()


_STAGE_FAILURE = re.compile(
    r"Task (\d+) in stage \S+ failed (\d+) times?, most recent failure: Lost task [^:]*?\): (.*)", re.DOTALL
)


def _as_worker_error(error: Exception, tasks: Sequence[int]) -> WorkerError:
    """Reword Spark's text: which task, how often, and the last line of the Python traceback or Spark's own reason."""
    text = str(error)
    match = _STAGE_FAILURE.search(text)
    if match is None:
        first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
        return WorkerError(f"Spark gave up: {first}; Spark's own log has the whole trace")
    cause = match[3].partition("\n\n")[0].strip().splitlines()
    line = cause[-1] if "Traceback" in match[3] else cause[0]
    return WorkerError(
        f"task {tasks[int(match[1])]}: failed {match[2]} times on Spark, at last with {line.strip()}; Spark's own log "
        f"has the whole trace"
    )
