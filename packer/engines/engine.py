"""What an engine is: something that runs one function over many task numbers. It knows tasks, not images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

Tick: TypeAlias = Callable[[int, int], None]
"""Called by a task now and then with the number of items and of source bytes done since the last call."""

Context = TypeVar("Context")
Result = TypeVar("Result")

Blobs: TypeAlias = "Iterator[tuple[int, bytes]]"
"""What a sender of an exchange yields: the number of a receiver, and bytes for it."""

Send: TypeAlias = Callable[[Context, int], Blobs]
Receive: TypeAlias = "Callable[[Context, int, Iterator[bytes]], Result]"
"""Functions of (context, number of the sender or receiver, ...), as `Task` is one."""

Task: TypeAlias = Callable[[Context, int, Tick], Result]
"""A module's function of (context, task number, tick); it and its context and result can be pickled."""


class Engine(Protocol):
    """Runs tasks, anywhere, each at least once. It may have `notices`: sentences to be told before anything runs."""

    def run(
        self, function: Task[Context, Result], context: Context, tasks: Sequence[int], tick: Tick
    ) -> Iterator[Result]:
        """Yield the result of `function(context, task, tick)` for each task, in the order they finish.

        Args:
            function: importable by name in another process; may run more than once for a task, also at the same time.
            context: sent once to each worker.
            tasks: task numbers.
            tick: receives progress, summed over workers, in the caller's process.

        Raises:
            PackerError: the first error of that kind that a task raised.
            WorkerError: a worker died or a task raised something else.
        """

    def close(self) -> None:
        """Stop what is running and free processes and sessions. May be called more than once."""


@runtime_checkable
class ExchangingEngine(Engine, Protocol):
    """Also hands bytes from workers to workers, past the caller's process."""

    def exchange(
        self, send: Send[Context], receive: Receive[Context, Result], context: Context, *, senders: int, receivers: int
    ) -> Iterator[Result]:
        """Yield the result of each receiver, in the order they finish; senders and receivers have numbers from 0.

        What comes to a receiver comes in any order. One that gets nothing is called too. A sender or a receiver may run
        more than once; those of one number must then do the same. Raises as `Engine.run`.
        """
