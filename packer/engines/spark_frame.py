"""Tables of Spark: looked up by name, and given in batches to functions that run where their rows are."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pyarrow as pa

from packer.errors import PackerError, SourceError
from packer.extras import require_extra

Take: TypeAlias = "Callable[[str, Iterator[pa.RecordBatch]], Any]"
"""Takes all rows of one partition, with a name that no other attempt to take any of them has; returns what it found."""


_BATCH_SETTING = "spark.sql.execution.arrow.maxRecordsPerBatch"
_ROWS_AT_A_TIME = 256


def find_frame(name: str) -> Any:
    """Return the DataFrame of a table or view, by a name for ``spark.table``. Raises SourceError without one."""
    sql = require_extra("pyspark.sql", "spark", purpose="a table of Spark")
    errors = require_extra("pyspark.errors", "spark", purpose="a table of Spark")
    try:
        return sql.SparkSession.builder.getOrCreate().table(name)
    except errors.PySparkException as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise SourceError(f"table:{name}: expected a table or view that Spark knows: {lines[0].strip()}") from None


def take_frame(frame: Any, take: Take) -> list[Any]:
    """Return what `take` found of each partition of a DataFrame, which is computed once.

    Raises:
        PackerError: the first that one of them raised.
    """
    require_extra("pandas", "spark", purpose="reading a table of Spark")  # pyspark asks for it
    with _few_rows_at_a_time(frame.sparkSession):
        rows = frame.mapInArrow(_remote_take(take), "found binary").collect()
    found = []
    for row in rows:
        value = pickle.loads(bytes(row.found))
        if isinstance(value, PackerError):
            raise value
        found.append(value)
    return found


@contextmanager
def _few_rows_at_a_time(session: Any) -> Iterator[None]:
    """Have Spark hand over fewer rows at a time than its ten thousand, which may be photographs."""
    before = session.conf.get(_BATCH_SETTING)
    session.conf.set(_BATCH_SETTING, str(min(int(before), _ROWS_AT_A_TIME) if int(before) > 0 else _ROWS_AT_A_TIME))
    try:
        yield
    finally:
        session.conf.set(_BATCH_SETTING, before)


def _remote_take(take: Take) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = require_extra("pyspark", "spark", purpose="a table of Spark").TaskContext.get()
        value: Any
        try:
            value = take(f"{context.partitionId():05d}-{context.taskAttemptId()}", batches)
        except PackerError as error:
            value = error
        yield pa.RecordBatch.from_arrays([pa.array([pickle.dumps(value)], pa.binary())], ["found"])

    return run
