"""Exchange of tensors between ranks of PyTorch: the interface, and its form for a single process."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any, Protocol

from packer.trainer.core.collective import Collective, SoloCollective


class TorchRanks(Protocol):
    """Exchanges tensors between ranks. Any call raises WorkerError if another rank is gone."""

    @property
    def collective(self) -> Collective:
        """Exchange of everything but tensors."""

    @property
    def takes_any_layout(self) -> bool:
        """Parameters may be laid out channels last."""

    def wrap(self, module: Any) -> Any:
        """Return a module that is called like `module`; after `finish_backward` its gradients are means over ranks."""

    def accumulating(self, wrapped: Any) -> AbstractContextManager[None]:
        """In the body, gradients of the wrapped module add up on this rank without exchange."""

    def finish_backward(self) -> None:
        """Wait until the gradients are means over ranks."""

    def average(self, tensor: Any) -> Any:
        """Return the mean over ranks of a tensor."""

    def broadcast(self, content: bytes) -> bytes:
        """Return the bytes that rank 0 passed; those of other ranks are ignored."""


class SoloRanks:
    """A single process, which exchanges nothing."""

    def __init__(self) -> None:
        self._collective = SoloCollective()

    @property
    def collective(self) -> Collective:
        return self._collective

    @property
    def takes_any_layout(self) -> bool:
        return True

    def wrap(self, module: Any) -> Any:
        return module

    def accumulating(self, wrapped: Any) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def finish_backward(self) -> None:
        return

    def average(self, tensor: Any) -> Any:
        return tensor

    def broadcast(self, content: bytes) -> bytes:
        return content
