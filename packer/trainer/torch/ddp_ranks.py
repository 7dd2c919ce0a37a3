"""Messages between ranks through torch.distributed: NCCL between GPUs, Gloo between CPUs."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, TypeVar

from packer.trainer.core.collective import Collective, Watchdog, lost_rank_error, stall_limit_s
from packer.trainer.core.world import World
from packer.trainer.torch.rendezvous import Meeting
from packer.trainer.torch.torch_library import import_torch

T = TypeVar("T")

NO_LIMIT_S = 10 * 365 * 86_400


class DdpRanks:
    """The ranks of a job of several processes. The object is its own `Collective`."""

    def __init__(self, world: World, device: Any, meeting: Meeting | None) -> None:
        """Join the other ranks.

        Args:
            device: this rank's torch.device.
            meeting: address where the ranks meet; None if torchrun's variables hold the address.

        Raises:
            WorkerError: other ranks do not join within the stall limit.
        """
        self._torch = import_torch()
        self._dist: Any = self._torch.distributed
        self._device = device
        limit_s = stall_limit_s()
        self._watchdog = Watchdog(world.rank, limit_s)
        if world.local_size == world.size and sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a container's host name may not be reachable
        timeout = timedelta(seconds=limit_s or NO_LIMIT_S)
        on_gpu = device.type == "cuda"
        with self.exchanging("all ranks to come"):
            self._dist.init_process_group(
                backend="nccl" if on_gpu else "gloo",
                init_method=meeting.url if meeting else "env://",
                rank=world.rank,
                world_size=world.size,
                timeout=timeout,
            )
            self._control = self._dist.new_group(backend="gloo", timeout=timeout) if on_gpu else None
        self._size = world.size

    @property
    def collective(self) -> Collective:
        return self

    @property
    def takes_any_layout(self) -> bool:
        return True

    def allgather(self, value: T) -> list[T]:
        values: list[Any] = [None] * self._size
        with self.exchanging("what each rank says"):
            self._dist.all_gather_object(values, value, group=self._control)
        return values

    def waiting(self, purpose: str) -> AbstractContextManager[None]:
        return self._watchdog.waiting(purpose)

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._dist.destroy_process_group()

    def wrap(self, module: Any) -> Any:
        ids = [self._device] if self._device.type == "cuda" else None
        parallel: Any = self._torch.nn.parallel.DistributedDataParallel
        # Running statistics are averaged only when they are used. Releases that know the option's newer name warn about
        # the older one.
        names = inspect.signature(parallel).parameters
        option = next(name for name in ("forward_sync_buffers", "broadcast_buffers") if name in names)
        return parallel(module, device_ids=ids, gradient_as_bucket_view=True, **{option: False})

    def accumulating(self, wrapped: Any) -> AbstractContextManager[None]:
        context: AbstractContextManager[None] = wrapped.no_sync()
        return context

    def finish_backward(self) -> None:
        """Do nothing: gradients are means when the backward pass ends."""

    def average(self, tensor: Any) -> Any:
        with self.exchanging("means over all ranks"):
            self._dist.all_reduce(tensor)
        return tensor / self._size

    def broadcast(self, content: bytes) -> bytes:
        """Send the bytes as a CPU tensor through Gloo, and return those of rank 0."""
        (num_bytes, *_) = self.allgather(len(content))
        tensor = self._torch.zeros([num_bytes], dtype=self._torch.uint8)
        if self._dist.get_rank() == 0:
            tensor.copy_(self._torch.frombuffer(bytearray(content), dtype=self._torch.uint8))
        with self.exchanging("the state of rank 0"):
            self._dist.broadcast(tensor, src=0, group=self._control)
        return bytes(tensor.numpy())

    @contextlib.contextmanager
    def exchanging(self, purpose: str) -> Iterator[None]:
        """Limit the wait as `waiting` does, and raise WorkerError if another rank is gone."""
        try:
            with self.waiting(purpose):
                yield
        except RuntimeError as error:
            raise lost_rank_error(str(error)) from None
