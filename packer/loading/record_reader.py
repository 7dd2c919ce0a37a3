"""Reads single records of a split by the offsets in the shard's index, with all checks."""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence

from packer.errors import DataSetError
from packer.formats.container import Sample, ShardIndex
from packer.formats.registry import get_format
from packer.loading.record_order import RecordRef
from packer.loading.shard_access import ReadBuffer, ShardAccess
from packer.planning.layout import index_key, stem_of
from packer.reading.shard_file import ShardFile, iter_shard
from packer.stores.store import ObjectNotFoundError, Store

_MAX_INDEXES = 4096
"""Indexes of 2,000 records each take 64 MB in all."""


class ShardOffsets:
    """Offsets of the records of shards; an index is read when first needed. Safe to use from any thread."""

    def __init__(
        self,
        files: Sequence[ShardFile],
        split: str,
        store: Store | None,
        whole: Callable[[int], memoryview] | None = None,
    ) -> None:
        """Remember the shards of a split; nothing is read yet.

        Args:
            files: shards of a split.
            split: the split's name.
            store: the data set's store, which holds the indexes; None if only the shards are available.
            whole: returns a shard's bytes, if shards are held in memory anyway.
        """
        self._files, self._split, self._store, self._whole = files, split, store, whole
        self._lock = threading.Lock()
        self._known: OrderedDict[int, array[int]] = OrderedDict()

    def of(self, shard: int) -> array[int]:
        """Return the offset in bytes of each record of a shard, followed by the end of the last record.

        Raises:
            DataSetError: the index or the shard is not the one that was packed, or cannot be read.
            CorruptRecordError: a line of the index is malformed.
        """
        with self._lock:
            known = self._known.get(shard)
        if known is None:
            file = self._files[shard]
            known = self._read_index(shard, file) if self._store is not None else self._scan(shard)
            end = file.entry.num_bytes - get_format(file.format).mark_bytes
            if len(known) - 1 != file.entry.num_records or known[-1] != end:
                raise DataSetError(
                    f"{file.name}: expected an index of {file.entry.num_records:,} records in {end:,} bytes, found "
                    f"{len(known) - 1:,} in {known[-1]:,}"
                )
            with self._lock:
                self._known[shard] = known
                while len(self._known) > _MAX_INDEXES:
                    self._known.popitem(last=False)
        return known

    def _read_index(self, shard: int, file: ShardFile) -> array[int]:
        key = index_key(self._split, stem_of(file.key))
        assert self._store is not None
        name = f"{self._store.uri.rstrip('/')}/{key}"
        try:
            data = self._store.get(key)
        except ObjectNotFoundError:
            return self._scan(shard)
        except OSError as error:
            raise DataSetError(f"{name}: cannot read the index: {error}") from error
        if hashlib.sha256(data).hexdigest() != file.entry.index_sha256:
            raise DataSetError(
                f"{name}: expected the index that was packed, of sha256 {file.entry.index_sha256}, found another one; "
                "shardpack verify lists all such files"
            )
        container = get_format(file.format)
        places = container.record_places(ShardIndex(content=data, num_bytes=file.entry.num_bytes, name=name))
        return array("q", [*places.offsets_bytes, file.entry.num_bytes - container.mark_bytes])

    def _scan(self, shard: int) -> array[int]:
        """Read the shard once from start to end and return the offsets."""
        file = self._files[shard]
        offsets = array("q", [0])
        records = (
            get_format(file.format).iter_buffer(self._whole(shard), name=file.name, check=False)
            if self._whole is not None
            else iter_shard(file, check=False)
        )
        for record in records:
            offsets.append(record.offset_bytes + record.num_bytes)
        return offsets


class RecordReader:
    """Reads and checks single records; used only by the thread that made it."""

    def __init__(self, files: Sequence[ShardFile], offsets: ShardOffsets, access: ShardAccess) -> None:
        self._files, self._offsets, self._access = files, offsets, access
        self._buffer = ReadBuffer()

    def read(self, ref: RecordRef) -> Sample:
        """Read a record, check its framing and checksums, and return its sample.

        Raises:
            DataSetError: the shard is missing, has another size, or cannot be read.
            CorruptRecordError: the record's framing or a checksum is wrong; the text names shard, record and byte.
        """
        file = self._files[ref.shard]
        offsets = self._offsets.of(ref.shard)
        start, stop = offsets[ref.record], offsets[ref.record + 1]
        record = self._access.read(ref.shard, start, stop, self._buffer)
        return get_format(file.format).decode_record(
            record, name=file.name, record_index=ref.record, offset_bytes=start
        )
