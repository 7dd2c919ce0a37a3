"""Ranks that speak through Horovod (MPI, Gloo or NCCL, as it was built and launched), for any framework."""

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
    """A job of many processes."""

    def __init__(self, world: World, module: str, also_lost: type[Exception] | None = None) -> None:
        """Join the other ranks.

        Args:
            module: Horovod for one framework, such as ``horovod.torch``.
            also_lost: what the framework raises out of Horovod's calls when another rank is gone.

        Raises:
            MissingExtraError: Horovod or the framework is not installed.
            OptionsError: Horovod counts other ranks than the launcher's variables, or its stall limit is no number.
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
        """Nothing: Horovod leaves by itself when the process ends."""

    @contextlib.contextmanager
    def exchanging(self, purpose: str) -> Iterator[None]:
        """Wait as `waiting`, and raise WorkerError where another rank is gone."""
        try:
            with self.waiting(purpose):
                yield
        except self._lost as error:
            raise lost_rank_error(str(error)) from None


def check_horovod_launch(world: World, collective: str, *, library: str) -> None:
    """Raise OptionsError where a library whose ranks speak through Horovod alone is asked for another way."""
    if collective not in ("", "horovod"):
        raise OptionsError(f"expected horovod for {library}, got {collective!r}", field="collective")
    if world.size > 1 and world.launcher is Launcher.TORCHRUN:
        raise OptionsError(f"launcher: expected horovodrun or mpirun for {library} on several ranks, got torchrun")


def join_horovod(world: World, module: str, also_lost: type[Exception]) -> HorovodCollective | None:
    """Join the other ranks, if there are any. Args and errors are those of `HorovodCollective`."""
    return HorovodCollective(world, module, also_lost) if world.size > 1 else None


def step_error(error: Exception, said: str, *, library: str) -> PackerError:
    """Return what an error of a library means that came out of a step with Horovod's part in it.

    Args:
        said: the part of the error's text that is for people.
    """
    if "Horovod" in str(error):
        return lost_rank_error(said)
    return WorkerError(f"{library} could not run a step: {said}")


def import_horovod(module: str) -> ModuleType:
    """Return a module of Horovod. Raises MissingExtraError."""
    return require_extra(module, "horovod", purpose="training on several ranks")
