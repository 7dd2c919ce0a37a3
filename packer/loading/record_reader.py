"""One record of a split, wherever it is: by the offsets that were packed beside the shard, with all checks."""

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
"""Of 2,000 records each they take 64 MB."""


class ShardOffsets:
    """Where the records of shards begin, read when a shard is first asked for; any thread may ask."""

    def __init__(
        self,
        files: Sequence[ShardFile],
        split: str,
        store: Store | None,
        whole: Callable[[int], memoryview] | None = None,
    ) -> None:
        """Take the shards of a split.

        Args:
            files: its shards.
            split: its name.
            store: of the data set, which holds the indexes; None where only the shards are there.
            whole: returns a shard's bytes, where they are in memory anyway.
        """
        self._files, self._split, self._store, self._whole = files, split, store, whole
        self._lock = threading.Lock()
        self._known: OrderedDict[int, array[int]] = OrderedDict()

    def of(self, shard: int) -> array[int]:
        """Return the offsets in bytes of a shard's records, and where the last one ends.

        Raises:
            DataSetError: the index or the shard is not the one that was packed, or cannot be read.
            CorruptRecordError: a line of the index makes no sense.
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
        """Return the offsets by reading the shard once from start to end."""
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
    """Reads and checks single records, on the thread that made it."""

    def __init__(self, files: Sequence[ShardFile], offsets: ShardOffsets, access: ShardAccess) -> None:
        self._files, self._offsets, self._access = files, offsets, access
        self._buffer = ReadBuffer()

    def read(self, ref: RecordRef) -> Sample:
        """Return a record's sample, its framing and checksums checked.

        Raises:
            DataSetError: the shard is missing, of another size, or cannot be read.
            CorruptRecordError: the record's framing or a checksum is wrong; it names shard, record and byte.
        """
        file = self._files[ref.shard]
        offsets = self._offsets.of(ref.shard)
        start, stop = offsets[ref.record], offsets[ref.record + 1]
        record = self._access.read(ref.shard, start, stop, self._buffer)
        return get_format(file.format).decode_record(
            record, name=file.name, record_index=ref.record, offset_bytes=start
        )
