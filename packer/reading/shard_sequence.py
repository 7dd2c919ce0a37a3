"""The records of several shards; those of a bucket are each fetched while the one before it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from packer.formats.container import Record
from packer.reading.shard_file import ShardFile, iter_files, iter_stream, open_shard


def iter_records(shards: Sequence[ShardFile], *, check: bool = True) -> Iterator[tuple[str, Record]]:
    """Yield the records of shards in their order, each with its file's name. Raises as `iter_shard`."""
    read = iter_files if all(shard.is_local for shard in shards) else iter_shards
    return read(shards, check=check)


def iter_shards(shards: Sequence[ShardFile], *, check: bool = True) -> Iterator[tuple[str, Record]]:
    """Yield the records of shards in their order, each with its file's name.

    Two shards are held at a time: the one that is read, and the next. Raises as `iter_shard`, at the first record of
    the shard that fails.
    """
    if not shards:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="shard-ahead") as thread:
        ahead = thread.submit(open_shard, shards[0])
        for index, shard in enumerate(shards):
            with ahead.result() as stream:
                if index + 1 < len(shards):
                    ahead = thread.submit(open_shard, shards[index + 1])
                name = shard.name
                for record in iter_stream(shard, stream, check=check):
                    yield name, record
