"""Reusable memory for a few batches: private to this process, or shared with the process that makes batches.

A slot holds images uint8 [batch, px, px, 3], then labels, weights float32 [batch], masks and further images. Each array
starts at a multiple of 4,096 bytes, the size of a page.
"""

from __future__ import annotations

import mmap
import os

import msgspec
import numpy as np
import numpy.typing as npt

_PAGE_BYTES = 4096
_MEMORY_NAME = "shardpack-batches"


class SlotLayout(msgspec.Struct, frozen=True, kw_only=True):
    """Shapes of the arrays of a slot."""

    batch_size: int
    image_px: int
    label_values: int = 0
    """Values of a label vector; 0 if labels are class ids."""
    masks: int = 0
    """Number of fields of masks, int32 [batch, px, px] each."""
    pictures: int = 0
    """Number of fields of further images, uint8 [batch, px, px, 3] each."""

    @property
    def label_shape(self) -> tuple[int, ...]:
        return (self.batch_size, self.label_values) if self.label_values else (self.batch_size,)

    @property
    def image_bytes(self) -> int:
        return _whole_pages(self.batch_size * self.image_px * self.image_px * 3)

    @property
    def slot_bytes(self) -> int:
        label_bytes = _whole_pages(self.batch_size * (4 * self.label_values or 8))
        return self.image_bytes + label_bytes + _whole_pages(4 * self.batch_size) + self.field_bytes

    @property
    def mask_bytes(self) -> int:
        return _whole_pages(4 * self.batch_size * self.image_px * self.image_px)

    @property
    def field_bytes(self) -> int:
        """Bytes of all masks and further images, which are at the end of a slot in this order."""
        return self.masks * self.mask_bytes + self.pictures * self.image_bytes


class Slot:
    """The arrays of one slot. Only one side at a time fills or reads them."""

    def __init__(self, memory: memoryview, layout: SlotLayout) -> None:
        size, px = layout.batch_size, layout.image_px
        labels_at = layout.image_bytes
        fields_at = layout.slot_bytes - layout.field_bytes
        weights_at = fields_at - _whole_pages(4 * size)
        pictures_at = fields_at + layout.masks * layout.mask_bytes
        self.images: npt.NDArray[np.uint8] = np.ndarray((size, px, px, 3), np.uint8, memory)
        kind = np.float32 if layout.label_values else np.int64
        self.labels: npt.NDArray[np.int64] | npt.NDArray[np.float32] = np.ndarray(
            layout.label_shape, kind, memory, labels_at
        )
        self.weights: npt.NDArray[np.float32] = np.ndarray((size,), np.float32, memory, weights_at)
        self.field_memory: npt.NDArray[np.uint8] = np.ndarray((layout.field_bytes,), np.uint8, memory, fields_at)
        """The memory of all masks and further images."""
        self.masks: tuple[npt.NDArray[np.int32], ...] = tuple(
            np.ndarray((size, px, px), np.int32, memory, fields_at + number * layout.mask_bytes)
            for number in range(layout.masks)
        )
        self.pictures: tuple[npt.NDArray[np.uint8], ...] = tuple(
            np.ndarray((size, px, px, 3), np.uint8, memory, pictures_at + number * layout.image_bytes)
            for number in range(layout.pictures)
        )


class SlotRing:
    """A number of slots of equal layout in one block of memory."""

    def __init__(self, layout: SlotLayout, num_slots: int, descriptor: int | None = None) -> None:
        """Map the memory.

        Args:
            layout: layout of every slot.
            num_slots: number of slots.
            descriptor: descriptor of memory that `create_shared_memory` made; None for memory private to this process.
        """
        self.layout, self.num_slots = layout, num_slots
        self.num_bytes = layout.slot_bytes * num_slots
        self._memory = mmap.mmap(-1 if descriptor is None else descriptor, self.num_bytes)
        view = memoryview(self._memory)
        self.memory: npt.NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8)
        """The memory of all slots, as uint8 with one axis."""
        step = layout.slot_bytes
        self.slots = tuple(Slot(view[index * step : (index + 1) * step], layout) for index in range(num_slots))


def create_shared_memory(layout: SlotLayout, num_slots: int) -> int:
    """Return a descriptor of new memory for a ring, which another process can inherit. Raises OSError."""
    # Not in /dev/shm: most containers limit it to 64 MB, and a write beyond the limit kills the process.
    descriptor = os.memfd_create(_MEMORY_NAME)
    try:
        os.posix_fallocate(descriptor, 0, layout.slot_bytes * num_slots)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _whole_pages(num_bytes: int) -> int:
    return -(-num_bytes // _PAGE_BYTES) * _PAGE_BYTES
