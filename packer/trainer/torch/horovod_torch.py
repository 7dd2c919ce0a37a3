"""Messages between ranks of PyTorch through Horovod."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from packer.trainer.core.collective import Collective
from packer.trainer.core.world import World
from packer.trainer.horovod_ranks import HorovodCollective


class HorovodRanks:
    """The ranks of a job of several processes."""

    def __init__(self, world: World) -> None:
        """Join the other ranks. Raises as `HorovodCollective`."""
        self._horovod = HorovodCollective(world, "horovod.torch")
        self._hvd: Any = self._horovod.hvd
        self._handles: list[int] = []
        self._is_accumulating = False

    @property
    def collective(self) -> Collective:
        return self._horovod

    @property
    def takes_any_layout(self) -> bool:
        """False: Horovod 0.28 needs contiguous parameters."""
        return False

    def wrap(self, module: Any) -> Any:
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self._hook(name))
        return module

    @contextlib.contextmanager
    def accumulating(self, wrapped: Any) -> Iterator[None]:
        self._is_accumulating = True
        try:
            yield
        finally:
            self._is_accumulating = False

    def finish_backward(self) -> None:
        handles, self._handles = self._handles, []
        with self._horovod.exchanging("a step of the other ranks"):
            for handle in handles:
                self._hvd.synchronize(handle)

    def average(self, tensor: Any) -> Any:
        with self._horovod.exchanging("means over all ranks"):
            return self._hvd.allreduce(tensor, op=self._hvd.Average, name="shardpack.average")

    def broadcast(self, content: bytes) -> bytes:
        with self._horovod.exchanging("the state of rank 0"):
            received: bytes = self._hvd.broadcast_object(content, root_rank=0, name="shardpack.state")
            return received

    def _hook(self, name: str) -> Any:
        def average_gradient(parameter: Any) -> None:
            if not self._is_accumulating:
                handle = self._hvd.allreduce_async_(parameter.grad, op=self._hvd.Average, name=f"gradient.{name}")
                self._handles.append(handle)

        return average_gradient
