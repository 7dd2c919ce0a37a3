"""What ranks say to each other: a small interface, and Horovod or nothing behind it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, Protocol, TypeVar

from packer.errors import OptionsError, WorkerError
from packer.extras import require_extra
from packer.trainer.world import Launcher, World

T = TypeVar("T")

STALL_WARNING_S = 60
STALL_SHUTDOWN_S = 300
"""Seconds after which Horovod ends a job in which a rank does not join in; by itself it would wait for ever."""
STALL_GRACE_S = 10
"""How much later the process ends itself: Horovod's own check does not see every stall, above all not with Gloo."""
_STALL_SHUTDOWN = "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"


class Collective(Protocol):
    """Calls that every rank must make in the same order. Any of them raises WorkerError when another rank is gone."""

    def allgather(self, value: T) -> list[T]:
        """Return every rank's value, by rank. Values are small and can be pickled."""

    def broadcast(self, value: T) -> T:
        """Return rank 0's value."""

    def total(self, values: Sequence[float]) -> tuple[float, ...]:
        """Return the sums over all ranks, position by position; every rank gives equally many."""

    def broadcast_variables(self, variables: Sequence[Any]) -> None:
        """Set TensorFlow variables to rank 0's values."""

    def wrap_optimizer(self, optimizer: Any) -> Any:
        """Return a Keras optimizer whose `minimize` averages gradients over all ranks."""

    def waiting(self, purpose: str) -> AbstractContextManager[None]:
        """Limit how long the body may wait for other ranks: past it the process says so and ends with exit code 1."""


class SoloCollective:
    """A job of one process."""

    def allgather(self, value: T) -> list[T]:
        return [value]

    def broadcast(self, value: T) -> T:
        return value

    def total(self, values: Sequence[float]) -> tuple[float, ...]:
        return tuple(values)

    def broadcast_variables(self, variables: Sequence[Any]) -> None:
        """Nobody else has any."""

    def wrap_optimizer(self, optimizer: Any) -> Any:
        return optimizer

    def waiting(self, purpose: str) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


class HorovodCollective:
    """A job of many processes, over Horovod for TensorFlow (MPI, Gloo or NCCL, as it was built and launched)."""

    def __init__(self, world: World) -> None:
        """Join the other ranks.

        Raises:
            MissingExtraError: Horovod or TensorFlow is not installed.
            OptionsError: Horovod counts other ranks than the launcher's variables, or its stall limit is no number.
        """
        os.environ.setdefault("HOROVOD_STALL_CHECK_TIME_SECONDS", str(STALL_WARNING_S))
        limit_s = parse_stall_limit(os.environ.setdefault(_STALL_SHUTDOWN, str(STALL_SHUTDOWN_S)))
        self._limit_s = limit_s + STALL_GRACE_S if limit_s else 0.0
        self._rank = world.rank
        self._hvd = _import("horovod.tensorflow")
        self._tf = _import("tensorflow")
        self._lost: type[Exception] = _import("horovod.common.exceptions").HorovodInternalError
        with self.waiting("the start of Horovod"):
            self._hvd.init()
        joined = (self._hvd.rank(), self._hvd.local_rank(), self._hvd.size(), self._hvd.local_size())
        if joined != world.numbers:
            raise OptionsError(
                f"{world.launcher}: expected (rank, local rank, size, local size) {world.numbers}, "
                f"but Horovod joined as {joined}; was it built for this launcher (horovodrun --check-build)?"
            )

    def allgather(self, value: T) -> list[T]:
        with self._exchanging("what each rank says"):
            return list(self._hvd.allgather_object(value, name="shardpack.allgather"))

    def broadcast(self, value: T) -> T:
        return self.allgather(value)[0]

    def total(self, values: Sequence[float]) -> tuple[float, ...]:
        own = self._tf.constant(values, self._tf.float64)
        with self._exchanging("sums over all ranks"):
            sums = self._hvd.allreduce(own, op=self._hvd.Sum, name="shardpack.total")
            return tuple(float(value) for value in sums.numpy())

    def broadcast_variables(self, variables: Sequence[Any]) -> None:
        with self._exchanging("the variables of rank 0"):
            self._hvd.broadcast_variables(variables, root_rank=0)

    def wrap_optimizer(self, optimizer: Any) -> Any:
        return _import("horovod.tensorflow.keras").DistributedOptimizer(optimizer)

    @contextlib.contextmanager
    def waiting(self, purpose: str) -> Iterator[None]:
        if not self._limit_s:
            yield
            return
        timer = threading.Timer(self._limit_s, self._give_up, [purpose])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def _exchanging(self, purpose: str) -> Iterator[None]:
        try:
            with self.waiting(purpose):
                yield
        except (self._lost, self._tf.errors.OpError) as error:
            raise lost_rank_error(str(error)) from None

    def _give_up(self, purpose: str) -> None:
        """End the process; the thread that waits is inside Horovod and cannot be reached by an exception."""
        text = (
            f"error: rank {self._rank} waited {self._limit_s:g} s for {purpose}: another rank hangs or is gone "
            f"(the limit is {_STALL_SHUTDOWN} + {STALL_GRACE_S})\n"
        )
        os.write(2, text.encode())
        os._exit(1)


def parse_stall_limit(text: str) -> float:
    """Return the seconds of Horovod's stall limit, 0 for none. Raises OptionsError naming the variable."""
    if not (text.isascii() and text.isdigit()):
        raise OptionsError(f"{_STALL_SHUTDOWN}: expected a whole number of seconds, 0 for no limit, got {text!r}")
    return float(text)


def open_collective(world: World) -> Collective:
    """Return how the ranks of `world` speak to each other. Raises as `HorovodCollective`."""
    if world.size == 1:
        return SoloCollective()
    if world.launcher is Launcher.TORCHRUN:
        raise OptionsError("launcher: expected horovodrun or mpirun for TensorFlow on several ranks, got torchrun")
    return HorovodCollective(world)


def lost_rank_error(reason: str) -> WorkerError:
    """Return the error of a rank that could not go on since another one stopped."""
    first_line = reason.strip().partition("\n")[0]
    return WorkerError(f"another rank stopped, see its message; this one cannot go on without it ({first_line})")


def _import(module: str) -> ModuleType:
    return require_extra(module, "horovod", purpose="training on several ranks")
