"""A run as one value, and its tasks: what packing, copying and verifying have in common.

options, engine, progress, source, destination  ->  work: one function over task numbers  ->  results
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from packer.engines.engine import Engine, Task
from packer.progress import Progress
from packer.stores.store import Store

Asked = TypeVar("Asked")
Context = TypeVar("Context")
Result = TypeVar("Result")


_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Generic[Asked]):
    """One run, from its start to its end."""

    options: Asked
    """What was asked for."""
    engine: Engine
    """Runs the tasks."""
    progress: Progress
    """Is told of phases and of items done."""
    source: str
    """Path or URI of what is read."""
    dest: Store
    """The data set that is made, or that is checked."""
    started: float = field(default_factory=time.time)
    """In seconds since the epoch."""


def accept(result: object) -> None:
    """Take a result as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[Context, Result]):
    """Tasks of one function."""

    phase: str
    """What it is called while it runs."""
    num_items: int
    """Of all tasks."""
    function: Task[Context, Result]
    context: Context
    tasks: Sequence[int]
    """Task numbers."""
    look_at: Callable[[Result], None] = accept
    """Sees each result as it comes, and ends the run by raising."""


def do(run: Run[Asked], work: Work[Context, Result]) -> list[Result]:
    """Run the tasks and return their results, in the order in which they came. Raises as `Engine.run`."""
    results: list[Result] = []
    with run.progress.phase(work.phase, total=work.num_items):
        for result in run.engine.run(work.function, work.context, work.tasks, run.progress.advance):
            work.look_at(result)
            results.append(result)
            _LOGGER.info("%s: %d of %d tasks are done", work.phase, len(results), len(work.tasks))
    return results
