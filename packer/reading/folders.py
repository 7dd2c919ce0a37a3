"""A split whose shards lie in a channel's folder: File, FastFile and mounted file systems.

    FullyReplicated   all shards on every host, dealt by global rank
    ShardedByS3Key    an equal number on each host, unknown which; dealt by local rank

The folder has to hold those shards and nothing else: what it holds besides would have been streamed into a Pipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packer.channels.jobfiles import JobFiles
from packer.dataset.manifest import Manifest, ShardEntry
from packer.errors import DataSetError
from packer.reading.shard_file import ShardFile, wrong_size_error
from packer.stores.local_store import LocalStore
from packer.stores.store import ObjectInfo

NAMES_SHOWN = 3
"""Shards that a message lists before it counts the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderShare:
    """What a channel's folder holds of a split."""

    files: tuple[ShardFile, ...]
    """In the manifest's order."""
    indices: tuple[int, ...]
    """Of `files` in the manifest."""


def find_shards(files: JobFiles, channel: str, manifest: Manifest, split: str, *, num_expected: int) -> FolderShare:
    """Return the shards of a split in a channel's folder, wherever beneath it they lie.

    Args:
        num_expected: how many there must be: all of the split's, or this host's part.

    Raises:
        DataSetError: a file is none of the split's shards, is there twice or of another size, there are more or fewer
            shards than expected, or the folder cannot be listed.
    """
    store = LocalStore(files.folder(channel))
    shards = manifest.split(split).shards
    found = _list_by_name(store, {_base_name(shard.key) for shard in shards}, split)
    if len(found) != num_expected:
        raise _wrong_number_error(store.uri, split, shards, found, num_expected)
    own = [(index, shard) for index, shard in enumerate(shards) if _base_name(shard.key) in found]
    located = [ShardFile(store, found[_base_name(shard.key)].key, shard, manifest.format) for _, shard in own]
    for file in located:
        num_bytes = found[_base_name(file.key)].num_bytes
        if num_bytes != file.entry.num_bytes:
            raise wrong_size_error(file, found=num_bytes)
    return FolderShare(files=tuple(located), indices=tuple(index for index, _ in own))


def _list_by_name(store: LocalStore, names: set[str], split: str) -> dict[str, ObjectInfo]:
    found: dict[str, ObjectInfo] = {}
    try:
        listing = sorted(store.list(), key=lambda item: item.key)
    except OSError as error:
        raise DataSetError(f"{store.uri}: cannot list the channel's folder: {error}") from error
    for item in listing:
        name = _base_name(item.key)
        if name not in names:
            raise DataSetError(
                f"{store.uri}/{item.key}: expected shards of split {split!r} alone in the channel, found another file; "
                "let the channel carry the split's own prefix or list of shards"
            )
        if name in found:
            raise DataSetError(f"{store.uri}/{item.key}: expected each shard once, found it at {found[name].key} too")
        found[name] = item
    return found


def _wrong_number_error(
    folder: str, split: str, shards: Sequence[ShardEntry], found: Mapping[str, ObjectInfo], num_expected: int
) -> DataSetError:
    text = f"{folder}: expected {num_expected} of the {len(shards)} shards of split {split!r}, found {len(found)}"
    missing = [name for name in (_base_name(shard.key) for shard in shards) if name not in found]
    if num_expected == len(shards):
        more = f" and {len(missing) - NAMES_SHOWN} more" if len(missing) > NAMES_SHOWN else ""
        return DataSetError(f"{text}; missing: {', '.join(missing[:NAMES_SHOWN])}{more}")
    return DataSetError(f"{text}; the hosts' shares must be equal, or some ranks would run out first")


def _base_name(key: str) -> str:
    return key.rpartition("/")[2]
