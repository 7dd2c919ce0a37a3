"""How many items of a packed data set are exact copies of another one, by the sha256 of their source bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from packer.dataset.recordstable import decode_records
from packer.stores.base import Store

_ITEMS_PER_PASS = 8_000_000
"""16 bytes are held of each item of a pass, and as much again to sort them."""

Words = npt.NDArray[np.uint64]


def count_duplicates(dest: Store, records_keys: Sequence[str], *, num_items: int) -> int:
    """Return the number of items whose bytes another item of the data set, counted before, has too.

    Memory is bounded: more than 8 million items are taken in several passes, each over a share of all digests.

    Args:
        dest: the data set.
        records_keys: its tables of records.
        num_items: how many items these hold, fills not counted; about right is enough.
    """
    num_passes = -(-num_items // _ITEMS_PER_PASS) or 1
    return sum(_count_in_pass(dest, records_keys, index, num_passes) for index in range(num_passes))


def _count_in_pass(dest: Store, records_keys: Sequence[str], pass_index: int, num_passes: int) -> int:
    parts = [words[words[:, 3] % num_passes == pass_index, :2] for words in _digests(dest, records_keys)]
    words = np.concatenate(parts) if parts else np.empty((0, 2), np.uint64)
    return len(words) - num_distinct(words)


def num_distinct(words: Words) -> int:
    """Return the number of distinct rows of an array of shape (n, 2)."""
    ordered = words[np.argsort(words[:, 0], kind="stable")]
    repeats = ordered[1:, 0] == ordered[:-1, 0]
    if not repeats.any():
        return len(ordered)
    # Only rows that share their first word need a look at the second: few, unless there are many copies.
    in_group = np.zeros(len(ordered), dtype=bool)
    in_group[1:] |= repeats
    in_group[:-1] |= repeats
    return int((~in_group).sum()) + len({tuple(row) for row in ordered[in_group].tolist()})


def _digests(dest: Store, records_keys: Sequence[str]) -> Iterator[Words]:
    """Yield each table's digests, fills left out, as rows of four numbers."""
    for key in records_keys:
        table = decode_records(dest.view(key), name=f"{dest.uri}/{key}", columns=("source_sha256", "is_fill"))
        digests = table.column("source_sha256").filter(pc.invert(table.column("is_fill")))
        joined = b"".join(pa.concat_arrays(digests.chunks).to_pylist()) if len(digests) else b""
        yield np.frombuffer(joined, dtype=np.uint64).reshape(-1, 4)
