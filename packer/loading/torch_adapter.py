"""Batches of a loader as PyTorch tensors: without a copy on a CPU, with one copy to a GPU.

For a GPU, the memory of the loader's slots is pinned and copies use a CUDA stream of their own. So a copy runs at the
same time as the kernels of the previous step. It starts when the loop asks for a batch; the loop's CUDA stream waits
for the copy, the loop itself does not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packer.extras import require_extra

if TYPE_CHECKING:
    from packer.loading.batch import Batch
    from packer.loading.loader import Loader

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchBatch:
    """The samples of one rank in one step, on one device."""

    images: Any
    """uint8 [batch, 3, px, px], RGB, laid out channels last."""
    labels: Any
    """int64 [batch]: class ids; float32 [batch, n] if labels are vectors."""
    weights: Any
    """float32 [batch]: 1 for a sample, 0 for one that only fills up an evaluation's last batches."""
    epoch: int
    step: int
    num_samples: int
    keys: Sequence[str]
    columns: Mapping[str, Sequence[Any]]
    fields: Mapping[str, Any]
    """The fields of the loader's batch: NumPy arrays on the host."""


class TorchBatches:
    """The batches of a loader as tensors, in the loader's order. Save and load the state through the loader."""

    def __init__(self, loader: Loader, device: str = "cpu") -> None:
        """Wrap a loader.

        Args:
            loader: source of the batches.
            device: device of the tensors, such as ``cuda:0``.

        Raises:
            MissingExtraError: PyTorch is not installed.
        """
        self._torch = require_extra("torch", "torch", purpose="batches of tensors")
        self._loader = loader
        self._device = self._torch.device(device)

    def __iter__(self) -> Iterator[TorchBatch]:
        """Yield the batches from the loader's position on. Raises as the loader's iterator."""
        if self._device.type != "cuda":
            for batch in self._loader:
                began_s = time.perf_counter()
                wrapped = self._wrap(batch, *self._tensors(batch))
                self._loader.count_hand_over(time.perf_counter() - began_s)
                yield wrapped
            return
        copier = _CudaCopier(self._torch, self._device)
        try:
            for batch in self._loader:
                began_s = time.perf_counter()
                copier.pin(self._loader)
                wrapped = self._wrap(batch, *copier.copy(batch, self._tensors(batch)))
                self._loader.count_hand_over(time.perf_counter() - began_s)
                yield wrapped
        finally:
            copier.close()

    def _tensors(self, batch: Batch) -> tuple[Any, Any, Any]:
        """Return images, labels and weights as tensors that share the batch's memory and keep it in use."""
        as_tensor = self._torch.from_numpy
        return as_tensor(batch.images).permute(0, 3, 1, 2), as_tensor(batch.labels), as_tensor(batch.weights)

    def _wrap(self, batch: Batch, images: Any, labels: Any, weights: Any) -> TorchBatch:
        return TorchBatch(
            images=images.to(self._device),
            labels=labels.to(self._device),
            weights=weights.to(self._device),
            epoch=batch.epoch,
            step=batch.step,
            num_samples=batch.num_samples,
            keys=batch.keys,
            columns=batch.columns,
            fields=batch.fields,
        )


class _CudaCopier:
    """Copies batches to one GPU on a CUDA stream of its own."""

    def __init__(self, torch: Any, device: Any) -> None:
        self._torch, self._device = torch, device
        self._stream = torch.cuda.Stream(device)
        self._pinned: Any = None
        self._under_way: tuple[Any, Batch] | None = None
        """The CUDA event of the last copy, and the batch that it reads."""

    def pin(self, loader: Loader) -> None:
        """Pin the memory of the loader's slots, once. If that fails, copies still work but block the loop."""
        memory = loader.slot_memory
        if memory is None or memory is self._pinned:
            return
        self._unpin()
        code = self._torch.cuda.cudart().cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)
        if int(code):
            _LOGGER.warning(
                "the loader's memory cannot be pinned (CUDA error %d), so copies to the GPU wait", int(code)
            )
        self._pinned = memory

    def copy(self, batch: Batch, tensors: tuple[Any, Any, Any]) -> tuple[Any, ...]:
        """Start copies to the GPU and return them; the current stream waits for them before its next work."""
        self._finish()
        current = self._torch.cuda.current_stream(self._device)
        with self._torch.cuda.stream(self._stream):
            copies = tuple(tensor.to(self._device, non_blocking=True) for tensor in tensors)
            self._under_way = (self._stream.record_event(), batch)
        current.wait_event(self._under_way[0])
        for copy in copies:
            copy.record_stream(current)
        return copies

    def close(self) -> None:
        self._finish()
        self._unpin()

    def _finish(self) -> None:
        """Wait for the last copy (usually finished: a step has passed since) and release its slot."""
        if self._under_way is not None:
            self._under_way[0].synchronize()
            self._under_way = None

    def _unpin(self) -> None:
        if self._pinned is not None:
            self._torch.cuda.cudart().cudaHostUnregister(self._pinned.ctypes.data)
            self._pinned = None
