"""Rows of a table in another order, which are copied only when they are asked for.

A plan has the items of its source in the order of their hashes, and then by shard. Tables in each of these orders
would take the memory of all items once more for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from packer.planning.splits import IntArray

_ROWS_PER_STEP = 1 << 16


@dataclass(frozen=True, slots=True)
class Reordered:
    """Some rows of a table, each at most once, in an order of their own. What it gives out are copies."""

    table: pa.Table
    """Of one chunk a column: rows are taken out of others slowly."""
    rows: IntArray
    """Of shape (n,): the row of `table` that stands at each place."""

    @classmethod
    def of(cls, table: pa.Table) -> Reordered:
        """Return all rows of a table as they stand."""
        return cls(table.combine_chunks(), np.arange(table.num_rows, dtype=np.int64))

    @property
    def num_rows(self) -> int:
        """How many rows there are, which need not be all of the table."""
        return len(self.rows)

    @property
    def column_names(self) -> list[str]:
        """The table's."""
        names: list[str] = self.table.column_names
        return names

    @property
    def schema(self) -> pa.Schema:
        """The table's."""
        return self.table.schema

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column."""
        return self.table.column(name).take(to_arrow(self.rows))

    def slice(self, offset: int = 0, length: int | None = None) -> pa.Table:
        """Return the rows of the places ``[offset, offset + length)``, or from `offset` on."""
        stop = None if length is None else offset + length
        return self.table.take(to_arrow(self.rows[offset:stop]))

    def pick(self, places: IntArray) -> Reordered:
        """Return the rows of some places, in that order."""
        return Reordered(self.table, self.rows[places])

    def head(self, num_rows: int) -> Reordered:
        """Return the first rows."""
        return Reordered(self.table, self.rows[:num_rows])

    def iter_steps(self) -> Iterator[pa.Table]:
        """Yield all rows, some thousands at a time."""
        for start in range(0, self.num_rows, _ROWS_PER_STEP):
            yield self.slice(start, _ROWS_PER_STEP)


def to_arrow(numbers: npt.NDArray[np.int64] | npt.NDArray[np.int32]) -> pa.Array:
    """Return contiguous integers as an Arrow array of the same memory; `pa.array` would load NumPy's masked arrays."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(numbers.dtype), len(numbers), [None, pa.py_buffer(numbers)])
