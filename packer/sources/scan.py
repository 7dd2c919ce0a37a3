"""What was found in folders and archives so far, on its way to an item table."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.sources.items import ETAG, KEY, LABEL, NUM_BYTES
from packer.sources.members import ARCHIVE, METHOD, OFFSET_BYTES, STORED_BYTES

NO_CLASS = -1
"""Stands for the class of an image outside class folders."""
_CHUNK_ROWS = 65_536
FOUND_AT_A_TIME = 1024
"""Images from one report of what was found to the next."""
_FILE_FIELDS = ((KEY, pa.large_string()), (NUM_BYTES, pa.int64()), (LABEL, pa.int64()))
_OBJECT_FIELDS = (*_FILE_FIELDS, (ETAG, pa.large_string()))
_MEMBER_FIELDS = (
    *_FILE_FIELDS,
    (ARCHIVE, pa.large_string()),
    (OFFSET_BYTES, pa.int64()),
    (STORED_BYTES, pa.int64()),
    (METHOD, pa.int64()),
)
_REMOTE_MEMBER_FIELDS = (*_MEMBER_FIELDS, (ETAG, pa.large_string()))


class FoundRows:
    """Rows that turn into Arrow tables as they come, so that millions of them stay small."""

    def __init__(self, schema: Any, root: str, found: Callable[[int], None] | None = None) -> None:
        self._schema = schema
        self._found = found
        self._root = root
        self._rows: list[tuple[Any, ...]] = []
        self._tables: list[pa.Table] = []

    def append(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        if self._found is not None and len(self._rows) % FOUND_AT_A_TIME == 0:
            self._found(FOUND_AT_A_TIME)
        if len(self._rows) == _CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True)
        try:
            arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        except UnicodeEncodeError as error:
            check_name(error.object, self._root)
            raise
        self._tables.append(pa.table(arrays, schema=self._schema))
        self._rows.clear()

    def table(self) -> pa.Table:
        if self._rows:
            self._flush()
        return pa.concat_tables(self._tables) if self._tables else self._schema.empty_table()


class Scan:
    """Images and their classes, and counts of what was passed over. Class ids here follow the order of discovery."""

    def __init__(self, root: str, found: Callable[[int], None]) -> None:
        self.root = root
        self.lock = threading.Lock()
        """Held by threads that add what they find, where several do."""
        self.num_hidden = 0
        self.other_suffixes: Counter[str] = Counter()
        self.loops: list[str] = []
        self.num_archives = 0
        self.empty_archives: list[str] = []
        self._class_ids: dict[str, int] = {}
        self._files = FoundRows(pa.schema(_FILE_FIELDS), root, found)
        self._objects = FoundRows(pa.schema(_OBJECT_FIELDS), root, found)
        self._members = FoundRows(pa.schema(_MEMBER_FIELDS), root, found)
        self._remote_members = FoundRows(pa.schema(_REMOTE_MEMBER_FIELDS), root, found)

    @property
    def _every(self) -> tuple[FoundRows, ...]:
        return self._files, self._objects, self._members, self._remote_members

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes found so far, sorted by name."""
        return tuple(sorted(self._class_ids))

    def find_class(self, name: str) -> int:
        """Return the id of a class, new or known."""
        return self._class_ids.setdefault(name, len(self._class_ids))

    def add_file(self, key: str, num_bytes: int, label: int) -> None:
        self._files.append((key, num_bytes, label))

    def add_object(self, key: str, num_bytes: int, label: int, etag: str) -> None:
        """Add an object of a remote store."""
        self._objects.append((key, num_bytes, label, etag))

    def add_member(self, item: tuple[str, int, int], place: tuple[str, int, int, int], etag: str) -> None:
        """Add a member of an archive.

        Args:
            item: its key, bytes and label.
            place: the archive's key, the offset, the stored bytes and the method.
            etag: of the archive, if it lies in a remote store that has such a thing.
        """
        if etag:
            self._remote_members.append((*item, *place, etag))
        else:
            self._members.append((*item, *place))

    def table(self) -> pa.Table:
        """Return what was found with labels of this scan's own ids; columns of members only where there are any.

        Raises:
            SourceError: a key is not UTF-8.
        """
        tables = [rows.table() for rows in self._every]
        return pa.concat_tables([table for table in tables if table.num_rows] or tables[:1], promote_options="default")

    def relabel(self, labels: pa.ChunkedArray, ids: Sequence[int]) -> pa.ChunkedArray:
        """Return labels with `ids` for the sorted `class_names` in place of this scan's own ids."""
        mapping = np.empty(len(self._class_ids), dtype=np.int64)
        for name, class_id in zip(self.class_names, ids, strict=True):
            mapping[self._class_ids[name]] = class_id
        return pc.take(pa.array(mapping), labels)

    def empty_classes(self, labels: pa.ChunkedArray) -> list[str]:
        """Return the classes that no image has; `labels` are this scan's own."""
        used = set(pc.unique(labels).to_pylist())
        return [name for name in self.class_names if self._class_ids[name] not in used]


def check_name(key: str, root: str) -> None:
    """Raise SourceError for a name whose bytes are not UTF-8 (Python stands lone surrogates in for them)."""
    try:
        key.encode()
    except UnicodeEncodeError:
        raise SourceError(f"{root}: the name {os.fsencode(key)!r} is not UTF-8, as keys must be; rename it") from None
