"""A run's tasks: their phase, their results and what looks at these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from packer.errors import DataSetError
from packer.progress import SilentProgress
from packer.run import Run, Work, accept, do
from packer.stores.open_store import open_store
from tests.tools.datasets import SerialEngine


class Notes(SilentProgress):
    """Progress that is written down."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    @contextmanager
    def phase(self, name: str, *, total: int | None) -> Iterator[None]:
        self.said.append((name, total))
        yield
        self.said.append((name, "done"))

    def advance(self, num_items: int, num_bytes: int) -> None:
        self.said.append((num_items, num_bytes))

    def note(self, text: str) -> None:
        self.said.append((text,))


def double(context: int, task: int, tick: Callable[[int, int], None]) -> int:
    tick(1, task)
    return context * task


def run_of(notes: Notes) -> Run[None]:
    return Run(
        options=None,
        engine=SerialEngine(lambda tasks: tasks[::-1]),
        progress=notes,
        source="a",
        dest=open_store("memory://b"),
    )


def work(look_at: Callable[[int], None]) -> Work[int, int]:
    return Work(phase="doubling", num_items=3, function=double, context=2, tasks=[0, 1, 5], look_at=look_at)


def test_results_come_as_tasks_end_and_progress_is_told() -> None:
    notes = Notes()
    assert do(run_of(notes), work(accept)) == [10, 2, 0]
    assert notes.said == [("doubling", 3), (1, 5), (1, 1), (1, 0), ("doubling", "done")]


def test_what_looks_at_results_ends_the_run_at_once() -> None:
    def refuse(result: int) -> None:
        if result == 2:
            raise DataSetError("two")

    notes = Notes()
    with pytest.raises(DataSetError, match="two"):
        do(run_of(notes), work(refuse))
    assert notes.said == [("doubling", 3), (1, 5), (1, 1)]
