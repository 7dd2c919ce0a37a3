"""Opens the cache that an option names: ``/folder:200GB``, or ``memory:20GB`` for one in the host's memory."""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from packer.errors import OptionsError
from packer.loading.cache_folder import CacheFolder
from packer.loading.host_ranks import count_host_ranks
from packer.loading.loader_input import InputShards
from packer.options import parse_size

_MEMORY = "memory"
_MEMORY_ROOT = Path("/dev/shm")
"""A file system that Linux keeps in memory; the ranks of a host share it like any folder."""
_SHARDS_PER_LANE = 2
"""The shard that is being read, and the next one."""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Folder of a cache, and its limit in bytes."""

    root: Path
    max_bytes: int
    is_memory: bool


def parse_cache(text: str) -> CacheOptions:
    """Parse ``/folder:200GB`` or ``memory:20GB``. Raises OptionsError."""
    place, colon, size = text.rpartition(":")
    if not colon or not place:
        raise OptionsError(f"`cache`: expected a folder and a size such as /nvme:200GB, or memory:20GB, got {text!r}")
    max_bytes = parse_size(size, "cache")
    if place == _MEMORY:
        return CacheOptions(_MEMORY_ROOT / f"shardpack-cache-{os.getuid()}", max_bytes, True)
    return CacheOptions(Path(place).absolute(), max_bytes, False)


def open_cache(text: str, shards: InputShards) -> CacheFolder:
    """Return the cache's folder for some shards, without making it on the disk.

    Raises:
        OptionsError: the text has another form; the cache is smaller than two shards for each lane that this host's
            ranks read; the folder cannot be written to; or its file system is smaller than the cache.
    """
    options = parse_cache(text)
    num_lanes = lanes_of_host(shards.num_lanes, shards.world, count_host_ranks())
    largest = max(file.entry.num_bytes for file in shards.files)
    least = _SHARDS_PER_LANE * num_lanes * largest
    if options.max_bytes < least:
        raise OptionsError(
            f"`cache`: expected at least {least:,} bytes (two shards of up to {largest:,} for each of the {num_lanes} "
            f"lanes that this host reads), got {options.max_bytes:,}"
        )
    _check_place(options)
    return CacheFolder(options.root, options.max_bytes, is_temporary=options.is_memory)


def lanes_of_host(num_lanes: int, world: int, num_ranks: int) -> int:
    """Return the most lanes of a split that `num_ranks` of `world` ranks read at a time."""
    return min(num_lanes, num_ranks * num_lanes // math.gcd(num_lanes, world))


def _check_place(options: CacheOptions) -> None:
    existing = next(path for path in (options.root, *options.root.parents) if path.exists())
    if not stat.S_ISDIR(existing.stat().st_mode) or not os.access(existing, os.W_OK | os.X_OK):
        raise OptionsError(f"`cache`: expected a folder that can be written, got {existing}")
    system = os.statvfs(existing)
    num_bytes = system.f_blocks * system.f_frsize
    if num_bytes < options.max_bytes:
        more = "; give the container more of it (docker run --shm-size)" if options.is_memory else ""
        raise OptionsError(
            f"`cache`: expected room for {options.max_bytes:,} bytes, the file system of {existing} has {num_bytes:,} "
            f"in all{more}"
        )
