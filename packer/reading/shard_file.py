"""Shards as files or objects: their records, and the errors of those that are not what the manifest says."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from packer.dataset.manifest import ShardEntry
from packer.errors import DataSetError
from packer.formats.container import Record
from packer.formats.registry import get_format
from packer.specs import FormatName
from packer.stores.local_store import LocalStore
from packer.stores.store import ObjectNotFoundError, Store

NOT_AS_PACKED = "the file is not the one that was packed; shardpack verify lists all such files"


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A shard where a rank finds it."""

    store: Store
    key: str
    """In the store."""
    entry: ShardEntry
    """Of the manifest."""
    format: FormatName

    @property
    def name(self) -> str:
        """Path or URI, for messages."""
        return f"{self.store.uri.rstrip('/')}/{self.key}"

    @property
    def is_local(self) -> bool:
        """Its name is a path of this machine."""
        return isinstance(self.store, LocalStore)


def iter_shard(shard: ShardFile, *, check: bool = True) -> Iterator[Record]:
    """Yield a shard's records in stored order.

    Raises:
        DataSetError: the file is missing, unreadable or of another size than the manifest says (before the first
            record), or holds more or fewer records (once that is seen).
        CorruptRecordError: a record's framing, or with `check` its checksum, is wrong.
    """
    with open_shard(shard) as stream:
        yield from iter_stream(shard, stream, check=check)


def iter_files(files: Iterable[ShardFile], *, check: bool = True) -> Iterator[tuple[str, Record]]:
    """Yield the records of shards one after another, each with its file's name. Raises as `iter_shard`."""
    for file in files:
        name = file.name
        for record in iter_shard(file, check=check):
            yield name, record


def iter_stream(shard: ShardFile, stream: BinaryIO, *, check: bool) -> Iterator[Record]:
    """Yield the records of an open shard. Raises as `iter_shard`."""
    name, expected = shard.name, shard.entry.num_records
    num_records = 0
    try:
        for record in get_format(shard.format).iter_stream(stream, name=name, check=check):
            num_records += 1
            if num_records > expected:
                raise DataSetError(f"{name}: expected {expected} records, found more; {NOT_AS_PACKED}")
            yield record
    except OSError as error:
        raise _unreadable_error(shard, error) from error
    if num_records != expected:
        raise DataSetError(f"{name}: expected {expected} records, found {num_records}; {NOT_AS_PACKED}")


def missing_shard_error(shard: ShardFile) -> DataSetError:
    """Return the error of a shard that the manifest lists and the store lacks."""
    return DataSetError(f"{shard.name}: expected a shard of {shard.entry.num_bytes:,} bytes, found no file")


def wrong_size_error(shard: ShardFile, *, found: int) -> DataSetError:
    """Return the error of a shard of `found` bytes where the manifest has another size."""
    return DataSetError(f"{shard.name}: expected {shard.entry.num_bytes:,} bytes, found {found:,}; {NOT_AS_PACKED}")


def open_shard(shard: ShardFile) -> BinaryIO:
    """Open a shard. Raises DataSetError where it is missing, of another size, or cannot be read."""
    try:
        stream = shard.store.open(shard.key)
    except ObjectNotFoundError:
        raise missing_shard_error(shard) from None
    except OSError as error:
        raise _unreadable_error(shard, error) from error
    num_bytes = stream.seek(0, os.SEEK_END)
    if num_bytes != shard.entry.num_bytes:
        stream.close()
        raise wrong_size_error(shard, found=num_bytes)
    stream.seek(0)
    return stream


def _unreadable_error(shard: ShardFile, error: OSError) -> DataSetError:
    return DataSetError(f"{shard.name}: cannot read the shard: {error}")
