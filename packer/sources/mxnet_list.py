"""MXNet image lists as listings: the columns `path` and `label` of their lines."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
import pyarrow as pa

from packer.errors import SourceError
from packer.formats.index import ListEntry, parse_list
from packer.sources import lines

_BATCH_LINES = 65_536
_MAX_EXACT = 2.0**53


def read_list(path: str) -> pa.Table:
    """Return the lines of a `.lst` file; their indices, which number the lines, are left out.

    `label` is int64 where each line has one integral label, float64 for one of any other value, a list of float64 for
    several, and all null where every line has the one label -1, which MXNet writes for none.

    Raises:
        SourceError: a line that is none of a list, or has another number of labels than the first; it names the line.
        OSError, UnicodeDecodeError: the file cannot be read as UTF-8.
    """
    paths: list[pa.Array] = []
    labels, width, start = array("d"), 0, 0
    for entries in _iter_entries(path):
        width = width or len(entries[0].labels)
        odd = next((index for index, entry in enumerate(entries) if len(entry.labels) != width), None)
        if odd is not None:
            line = lines.find_row_lines(path, delimiter=None)[start + odd]
            raise SourceError(
                f"{path}: line {line}: expected {width} labels as on the first, got {len(entries[odd].labels)}"
            )
        labels.extend(chain.from_iterable(entry.labels for entry in entries))
        paths.append(pa.array([entry.path for entry in entries], pa.large_string()))
        start += len(entries)
    values = np.frombuffer(labels) if start else np.empty(0)
    return pa.table({"path": pa.chunked_array(paths, pa.large_string()), "label": _build_labels(values, width)})


def _iter_entries(path: str) -> Iterator[tuple[ListEntry, ...]]:
    with open(path, "rb") as stream:
        first = 0
        whole_lines = lines.iter_lines(stream)
        while batch := list(islice(whole_lines, _BATCH_LINES)):
            text = b"".join(batch).decode("utf-8" if first else "utf-8-sig")
            try:
                entries = parse_list(text, name=path)
            except SourceError:
                # Again behind as many empty lines as were read before, so that the error has the file's line number.
                entries = parse_list("\n" * first + text, name=path)
            first += len(batch)
            if entries:
                yield entries


def _build_labels(values: np.ndarray[tuple[int], np.dtype[np.float64]], width: int) -> pa.Array:
    if width > 1:
        offsets = np.arange(0, len(values) + 1, width, dtype=np.int64)
        return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
    if not len(values) or bool((values == -1).all()):
        return pa.nulls(len(values), pa.int64())
    if bool(((values == np.floor(values)) & (np.abs(values) <= _MAX_EXACT)).all()):
        return pa.array(values.astype(np.int64))
    return pa.array(values)
