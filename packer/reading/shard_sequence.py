"""The records of several shards; a shard in a bucket is fetched while the one before it is read."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence

from packer.formats.container import Record
from packer.reading.shard_file import ShardFile, iter_files, iter_stream, open_shard
from packer.stores.readahead import Ahead, map_ahead

_AHEAD = Ahead(name="shard-ahead", threads=1, items=2)


def iter_records(shards: Sequence[ShardFile], *, check: bool = True) -> Iterator[tuple[str, Record]]:
    """Yield the records of shards in their order, each with its file's name. Raises as `iter_shard`."""
    read = iter_files if all(shard.is_local for shard in shards) else iter_shards
    return read(shards, check=check)


def iter_shards(shards: Sequence[ShardFile], *, check: bool = True) -> Generator[tuple[str, Record]]:
    """Yield the records of shards in their order, each with its file's name.

    Two shards are held at a time: the one that is read, and the next. Raises as `iter_shard`, at the first record of
    the shard that fails.
    """
    streams = map_ahead(open_shard, shards, _AHEAD)
    with contextlib.closing(streams):
        for shard, stream in zip(shards, streams, strict=True):
            name = shard.name
            with stream:
                for record in iter_stream(shard, stream, check=check):
                    yield name, record
