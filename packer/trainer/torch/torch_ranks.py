"""What a learner of PyTorch needs of the other ranks, beside what every trainer needs, and a job of one process."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any, Protocol

from packer.trainer.core.collective import Collective, SoloCollective


class TorchRanks(Protocol):
    """How tensors of all ranks become one. Any call raises WorkerError when another rank is gone."""

    @property
    def collective(self) -> Collective:
        """For all but tensors."""

    @property
    def takes_any_layout(self) -> bool:
        """Parameters may be laid out channels last."""

    def wrap(self, module: Any) -> Any:
        """Return a module of the same calls, after whose backward pass all gradients are means over ranks."""

    def accumulating(self, wrapped: Any) -> AbstractContextManager[None]:
        """In the body, backward passes of the wrapped module add up on this rank alone."""

    def finish_backward(self) -> None:
        """Wait until the gradients are means over ranks."""

    def average(self, tensor: Any) -> Any:
        """Return the mean over ranks of a tensor."""

    def broadcast(self, content: bytes) -> bytes:
        """Return rank 0's bytes; what other ranks give is ignored."""


class SoloRanks:
    """One process, of which there is nothing to average."""

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
