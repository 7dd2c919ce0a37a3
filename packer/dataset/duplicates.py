"""Which items of a packed data set are exact copies of another one, by the sha256 of their source bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.recordstable import decode_records
from packer.errors import DataSetError
from packer.stores.readahead import read_in_order
from packer.stores.store import Store

_ITEMS_PER_PASS = 100_000_000
"""16 bytes are held of each item of a pass."""
_NUM_GROUPS = 32
"""The items of a pass are sorted in groups, since sorting takes three times the memory of what is sorted."""
_DIGEST = pa.binary(32)

DigestNumbers = npt.NDArray[np.uint64]


def count_duplicates(dest: Store, records_keys: Sequence[str], *, num_items: int) -> int:
    """Return the number of items whose bytes another item of the data set, counted before, has too.

    Memory is bounded: up to 100 million items take one pass over the tables and 2 GB, and more are taken in several
    passes, each over a share of all digests.

    Args:
        dest: the data set.
        records_keys: its tables of records.
        num_items: how many items these hold, fills not counted; about right is enough.

    Raises:
        DataSetError: a table cannot be read.
        OSError: a table is missing, or the store failed.
    """
    return sum(len(numbers) - num_distinct(numbers) for numbers in _iter_groups(dest, records_keys, num_items))


def repeated_digests(dest: Store, records_keys: Sequence[str], *, num_items: int) -> pa.Array:
    """Return the first 16 bytes of each digest that several items have, each once. Arguments and errors as above."""
    found = [_repeated(numbers) for numbers in _iter_groups(dest, records_keys, num_items)]
    rows = np.concatenate([np.empty((0, 2), np.uint64), *found])
    return pa.array([row.tobytes() for row in rows], pa.binary())


def _iter_groups(dest: Store, records_keys: Sequence[str], num_items: int) -> Iterator[DigestNumbers]:
    """Yield the first two numbers of all items' digests in groups; equal ones are in one."""
    num_passes = -(-num_items // _ITEMS_PER_PASS) or 1
    for pass_index in range(num_passes):

        def load(key: str, pass_index: int = pass_index) -> list[DigestNumbers]:
            numbers = _load_digests(dest, key)
            return _split(numbers[numbers[:, 3] % num_passes == pass_index, :2])

        tables = list(read_in_order(dest, records_keys, load))
        yield from (np.concatenate(parts) for parts in zip(*tables, strict=True))


def _split(numbers: DigestNumbers) -> list[DigestNumbers]:
    """Return the rows of each group; equal rows are in one."""
    group = (numbers[:, 1] % _NUM_GROUPS).astype(np.uint8)
    stops = np.cumsum(np.bincount(group, minlength=_NUM_GROUPS))
    return np.split(numbers[np.argsort(group, kind="stable")], stops[:-1])


def num_distinct(numbers: DigestNumbers) -> int:
    """Return the number of distinct rows of an array of shape (n, 2)."""
    ordered = numbers[np.argsort(numbers[:, 0], kind="stable")]
    repeats = ordered[1:, 0] == ordered[:-1, 0]
    if not repeats.any():
        return len(ordered)
    # Only rows that share their first number need a look at the second: few, unless there are many copies.
    in_group = np.zeros(len(ordered), dtype=bool)
    in_group[1:] |= repeats
    in_group[:-1] |= repeats
    alike = ordered[in_group]
    alike = alike[np.lexsort((alike[:, 1], alike[:, 0]))]
    return int((~in_group).sum()) + 1 + int((alike[1:] != alike[:-1]).any(axis=1).sum())


def _repeated(numbers: DigestNumbers) -> DigestNumbers:
    """Return the rows that are there more than once, each once."""
    ordered = numbers[np.lexsort((numbers[:, 1], numbers[:, 0]))]
    again = ordered[1:][(ordered[1:] == ordered[:-1]).all(axis=1)]
    is_new = np.ones(len(again), dtype=bool)
    is_new[1:] = (again[1:] != again[:-1]).any(axis=1)
    return np.compress(is_new, again, axis=0)


def _load_digests(dest: Store, key: str) -> DigestNumbers:
    """Return a table's digests, fills left out, as rows of four numbers."""
    name = f"{dest.uri}/{key}"
    table = decode_records(dest.view(key), name=name, columns=("source_sha256", "is_fill"))
    if table.schema.types != [_DIGEST, pa.bool_()] or any(column.null_count for column in table.columns):
        raise DataSetError(
            f"{name}: expected a sha256 and a fill flag in each row, found other columns; restore it, or pack anew"
        )
    digests = table.column("source_sha256").filter(pc.invert(table.column("is_fill")))
    if not len(digests):
        return np.empty((0, 4), np.uint64)
    joined = pa.concat_arrays(digests.chunks)
    stop = joined.offset + len(joined)
    return np.frombuffer(joined.buffers()[1], np.uint64, 4 * stop).reshape(-1, 4)[joined.offset :]
