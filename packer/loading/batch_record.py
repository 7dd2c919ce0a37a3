"""A batch as an Arrow record of one row, between a data host and a rank.

images, labels, weights, fields    the bytes of a slot's arrays, as they lie in memory (little-endian)
notes                              MadeBatch as MessagePack
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from packer.loading.batch_feed import MadeBatch
from packer.loading.slot_ring import Slot

_KIND = pa.large_binary()
SCHEMA = pa.schema([("images", _KIND), ("labels", _KIND), ("weights", _KIND), ("fields", _KIND), ("notes", _KIND)])


def write_batch(slot: Slot, images: npt.NDArray[np.uint8], made: MadeBatch) -> pa.RecordBatch:
    """Return a slot's batch as a record. `images` is the slot's array or its lease; the record shares its memory."""
    parts = (
        pa.py_buffer(images.reshape(-1)),
        pa.py_buffer(slot.labels.tobytes()),
        pa.py_buffer(slot.weights.tobytes()),
        pa.py_buffer(slot.field_memory.tobytes()),
        pa.py_buffer(msgspec.msgpack.encode(made)),
    )
    return pa.record_batch([_one_row(part) for part in parts], schema=SCHEMA)


def read_batch(record: pa.RecordBatch, slot: Slot) -> MadeBatch:
    """Copy a record's arrays to a slot and return its batch.

    Raises ValueError if sizes differ or the record is no batch; the slot may then be partly overwritten.
    """
    if record.schema != SCHEMA or record.num_rows != 1:
        raise ValueError("its answer is no batch")
    images, labels, weights, fields, notes = (_bytes_of(column) for column in record.columns)
    for name, found, wanted in (
        ("images", images, slot.images),
        ("labels", labels, slot.labels),
        ("weights", weights, slot.weights),
        ("fields", fields, slot.field_memory),
    ):
        if len(found) != wanted.nbytes:
            raise ValueError(f"expected {wanted.nbytes:,} bytes of {name}, got {len(found):,}")
        wanted.reshape(-1).view(np.uint8)[:] = found
    try:
        return msgspec.msgpack.decode(notes.data, type=MadeBatch)
    except msgspec.DecodeError as error:
        raise ValueError(f"expected notes of a batch, but {error}") from None


def _one_row(content: pa.Buffer) -> pa.Array:
    offsets = pa.py_buffer(np.array([0, content.size], np.int64))
    return pa.Array.from_buffers(_KIND, 1, [None, offsets, content])


def _bytes_of(column: pa.Array) -> npt.NDArray[np.uint8]:
    _, offsets, content = column.buffers()
    first, last = np.frombuffer(offsets, np.int64, 2, 8 * column.offset)
    return np.frombuffer(content, np.uint8)[first:last] if content is not None else np.empty(0, np.uint8)
