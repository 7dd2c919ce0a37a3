"""Tables between the steps of planning: workers of one step write them, those of the next read them.

They are at the destination, which all workers can reach, below the prefix of plan files. They are removed at the end of
the run; the next run finds and removes those of a killed one.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from packer.planning.layout import PLAN_PARTS_PREFIX
from packer.planning.splits import IntArray
from packer.specs import StoreOptions
from packer.stores.open_store import open_store, share_options
from packer.stores.store import Claim, ObjectNotFoundError, Store

_WRITING = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """A folder of tables. It can be pickled."""

    uri: str
    """URI of the destination."""
    store: StoreOptions
    prefix: str
    """Prefix of the keys of all tables."""
    claim: Claim
    """Claim with a folder of its own for temporary files."""
    buckets: str = "ordered"
    """Prefix of the names of the buckets' tables: ``distinct`` after copies have been left out."""

    def open(self) -> Store:
        """Return the destination's store."""
        return open_store(self.uri, self.store).claimed(self.claim)

    @property
    def root(self) -> str:
        """URI of the folder."""
        return f"{self.uri.rstrip('/')}/{self.prefix.rstrip('/')}"

    def put(self, name: str, table: pa.Table) -> None:
        """Write a table."""
        self.put_bytes(name, encode_rows(table))

    def get(self, name: str) -> pa.Table:
        """Return a table. Raises ObjectNotFoundError."""
        return decode_rows([self.open().view(self.prefix + name)])

    def find(self, name: str) -> pa.Table | None:
        """Return a table; None if it does not exist."""
        try:
            return self.get(name)
        except ObjectNotFoundError:
            return None

    def bucket(self, bucket: int) -> pa.Table | None:
        """Return the items of a bucket; None if it never had any."""
        return self.find(self.bucket_name(bucket))

    def bucket_name(self, bucket: int) -> str:
        """Return the name of a bucket's table."""
        return f"{self.buckets}-{bucket:05d}"

    def put_bytes(self, name: str, *content: bytes | memoryview) -> None:
        """Write a file."""
        self.open().put(self.prefix + name, list(content))

    def get_bytes(self, name: str) -> bytes:
        """Return a file."""
        return self.open().get(self.prefix + name)

    def put_numbers(self, name: str, numbers: IntArray) -> None:
        """Write integers as little-endian int64."""
        self.put_bytes(name, np.ascontiguousarray(numbers, dtype="<i8").tobytes())

    def get_numbers(self, name: str, start: int = 0, stop: int | None = None) -> IntArray:
        """Return all integers of a file, or those at positions [start, stop) if `stop` is given."""
        store, key = self.open(), self.prefix + name
        data = store.get(key) if stop is None else store.get_range(key, 8 * start, 8 * stop)
        return np.frombuffer(data, dtype="<i8")

    def remove(self, owner: Store | None) -> None:
        """Remove all tables. `owner` is the destination's store with the run's claim; None if there is no claim yet."""
        store = open_store(self.uri, self.store)
        store.delete_all([info.key for info in store.list(self.prefix)])
        if owner is None:
            self.open().end_claim()
        else:
            owner.end_others(self.claim.folder)


class StagingArea(AbstractContextManager["StagingArea"]):
    """All stagings of one run. They are removed when its body ends, or by `clear`."""

    def __init__(self) -> None:
        self._used: list[Staging] = []
        self._images: list[Staging] = []

    def __exit__(self, *_: object) -> None:
        self.clear(None)

    def clear(self, owner: Store | None) -> None:
        """Remove all staged tables. `owner` is as in `Staging.remove`; images are removed only without a claim."""
        if owner is None:
            self._used += self._images
        self._images.clear()
        while self._used:
            self._used.pop().remove(owner)

    def new_images(self, staging: Staging) -> Staging:
        """Return a folder for images. After the destination is claimed, the folder stays until the data set is done."""
        prefix = f"{PLAN_PARTS_PREFIX}rows-{uuid.uuid4().hex}/"
        self._images.append(replace(staging, prefix=prefix))
        return self._images[-1]

    def new(self, dest: Store, store: StoreOptions) -> Staging:
        """Return a new folder for tables."""
        name = f"staging-{uuid.uuid4().hex}"
        staging = Staging(
            uri=dest.uri,
            store=share_options(dest.uri, store),
            prefix=f"{PLAN_PARTS_PREFIX}{name}/",
            claim=Claim(folder=dest.open_folder(name, is_new=True)),
        )
        self._used.append(staging)
        return self._used[-1]


def encode_rows(table: pa.Table) -> memoryview:
    """Return a table as bytes of an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_WRITING) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue()).cast("B")


def decode_rows(blobs: list[bytes] | list[memoryview]) -> pa.Table:
    """Return one table with the rows of one or more encoded tables of the same columns."""
    tables = [pa.ipc.open_stream(blob).read_all() for blob in blobs]
    return pa.concat_tables(tables).combine_chunks()


def sum_before(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return for each size the sum of all sizes before it."""
    return tuple(itertools.accumulate(sizes, initial=0))[:-1]


def select_slices(table: pa.Table, targets: IntArray) -> list[tuple[int, pa.Table]]:
    """Return each target with its rows in order. `targets` is int64 [n] with the target of each row."""
    order = np.argsort(targets, kind="stable")
    present, starts = np.unique(targets[order], return_index=True)
    ordered = table.take(pa.array(order))
    stops = [*starts.tolist(), len(order)][1:]
    spans = zip(present.tolist(), starts.tolist(), stops, strict=True)
    return [(target, ordered.slice(start, stop - start)) for target, start, stop in spans]
