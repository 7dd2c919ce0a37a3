"""Messages between ranks through Horovod, for any framework. Build and launch choose MPI, Gloo or NCCL."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import ModuleType
from typing import TypeVar

from packer.errors import OptionsError, PackerError, WorkerError
from packer.extras import require_extra
from packer.trainer.core.collective import Watchdog, lost_rank_error, stall_limit_s
from packer.trainer.core.world import Launcher, World

T = TypeVar("T")

STALL_WARNING_S = 60


class HorovodCollective:
    """The collective of a job of several processes."""

    def __init__(self, world: World, module: str, also_lost: type[Exception] | None = None) -> None:
        """Join the other ranks.

        Args:
            module: Horovod's module for a framework, such as ``horovod.torch``.
            also_lost: error that the framework raises from Horovod's calls when another rank is gone.

        Raises:
            MissingExtraError: Horovod or the framework is not installed.
            OptionsError: Horovod's ranks differ from the launcher's variables, or its stall limit is not a number.
        """
        os.environ.setdefault("HOROVOD_STALL_CHECK_TIME_SECONDS", str(STALL_WARNING_S))
        self._watchdog = Watchdog(world.rank, stall_limit_s())
        self.hvd = import_horovod(module)
        own: type[Exception] = import_horovod("horovod.common.exceptions").HorovodInternalError
        self._lost = (own, also_lost) if also_lost else (own,)
        with self.waiting("the start of Horovod"):
            self.hvd.init()
        joined = (self.hvd.rank(), self.hvd.local_rank(), self.hvd.size(), self.hvd.local_size())
        if joined != world.numbers:
            raise OptionsError(
                f"{world.launcher}: expected (rank, local rank, size, local size) {world.numbers}, "
                f"but Horovod joined as {joined}; was it built for this launcher (horovodrun --check-build)?"
            )

    def allgather(self, value: T) -> list[T]:
        with self.exchanging("what each rank says"):
            return list(self.hvd.allgather_object(value, name="shardpack.allgather"))

    def waiting(self, purpose: str) -> AbstractContextManager[None]:
        return self._watchdog.waiting(purpose)

    def close(self) -> None:
        """Do nothing: Horovod shuts down by itself when the process ends."""

    @contextlib.contextmanager
    def exchanging(self, purpose: str) -> Iterator[None]:
        """Limit the wait as `waiting` does, and raise WorkerError if another rank is gone."""
        try:
            with self.waiting(purpose):
                yield
        except self._lost as error:
            raise lost_rank_error(str(error)) from None


def check_horovod_launch(world: World, collective: str, *, library: str) -> None:
    """Check that collective and launcher suit a library that supports only Horovod. Raises OptionsError."""
    if collective not in ("", "horovod"):
        raise OptionsError(f"expected horovod for {library}, got {collective!r}", field="collective")
    if world.size > 1 and world.launcher is Launcher.TORCHRUN:
        raise OptionsError(f"launcher: expected horovodrun or mpirun for {library} on several ranks, got torchrun")


def join_horovod(world: World, module: str, also_lost: type[Exception]) -> HorovodCollective | None:
    """Join the other ranks; return None for a single process. Arguments and errors are those of `HorovodCollective`."""
    return HorovodCollective(world, module, also_lost) if world.size > 1 else None


def step_error(error: Exception, said: str, *, library: str) -> PackerError:
    """Return the error to raise for a library's error in a step: a lost rank if Horovod caused it.

    Args:
        said: the readable part of the error's text.
    """
    if "Horovod" in str(error):
        return lost_rank_error(said)
    return WorkerError(f"{library} could not run a step: {said}")


def import_horovod(module: str) -> ModuleType:
    """Import and return a module of Horovod. Raises MissingExtraError."""
    return require_extra(module, "horovod", purpose="training on several ranks")
