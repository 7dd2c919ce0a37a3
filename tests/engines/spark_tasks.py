"""Tasks for the tests of Spark; its Python workers import them by name."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from packer.engines.engine import Task, Tick
from packer.errors import PackerError


def partition_of(context: Any, task: int, tick: Tick) -> int:
    from pyspark import TaskContext

    return TaskContext.get().partitionId()


def mark(folder: str, task: int, tick: Tick) -> int:
    """Leave a mark and take a moment; task 0 fails."""
    if task == 0:
        raise PackerError("task 0 cannot be done")
    (Path(folder) / str(task)).touch()
    time.sleep(0.2)
    return task


def fail_even_tasks_once(context: tuple[Task, Any], task: int, tick: Tick) -> tuple[int, Any]:
    """Do all of a task's work, then lose the first attempt of every second one; return the attempt's number too."""
    from pyspark import TaskContext

    function, inner = context
    result = function(inner, task, tick)
    attempt = TaskContext.get().attemptNumber()
    if attempt == 0 and task % 2 == 0:
        raise OSError("lost after its work was done")
    return attempt, result


def numbered(context: tuple[Task, Any], task: int, tick: Tick) -> tuple[int, Any]:
    function, inner = context
    return task, function(inner, task, tick)
