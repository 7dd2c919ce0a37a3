"""A cache of a bucket's shards on this host: each shard is fetched once, checked, and then read as a local file.

Threads fetch the announced shards, soonest first, as long as there is room or the cache holds shards that are needed
later. A read of a shard that will be fetched waits for it; a read of any other shard goes to the store.
"""

from __future__ import annotations

import enum
import hashlib
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from packer.errors import DataSetError
from packer.loading.cache_folder import CacheFolder, Part, Refusal
from packer.loading.shard_access import LocalShards, RangedShards, ReadBuffer
from packer.reading.shard_file import NOT_AS_PACKED, ShardFile
from packer.stores.local_store import LocalStore

_log = logging.getLogger(__name__)

_NUM_THREADS = 2
_BYTES_PER_REQUEST = 8_000_000
"""Large enough that a request's latency is small against its transfer, small enough to hold in memory."""
_POLL_S = 0.02
"""Seconds between two checks for a shard that another process fetches."""
_TAKE_OVER_S = 0.5
"""Seconds between attempts to take such a download over, which succeed if the other process has died."""
_PATIENCE_S = 10.0
"""Seconds that a read waits for its shard before it goes to the store."""
_PAUSE_S = 5.0
"""Seconds without downloads after a failure, unless `expect` is called with another list."""


class _Place(enum.Enum):
    STORE = "not to be fetched now"
    COMING = "to be fetched, or being fetched"
    HERE = "in the folder"


class CachedShards:
    """A ShardAccess with a cache. The first call of `expect` starts its threads and makes the folder."""

    def __init__(self, files: Sequence[ShardFile], folder: CacheFolder, *, num_threads: int = _NUM_THREADS) -> None:
        self._files, self._folder, self._num_threads = files, folder, num_threads
        self._ranged = RangedShards(files)
        kept = LocalStore(folder.shards)
        self._local = LocalShards([replace(file, store=kept, key=file.entry.sha256) for file in files])
        self._changed = threading.Condition()
        self._places: dict[int, _Place] = {}
        self._expected: list[int] = []
        self._busy: set[int] = set()
        """Shards that threads of this process are fetching."""
        self._errors: dict[int, DataSetError] = {}
        self._paused_until_s = 0.0
        self._threads: list[threading.Thread] = []
        self._is_closing = False

    def read(self, shard: int, start: int, stop: int, buffer: ReadBuffer) -> memoryview:
        if self._wait_for(shard):
            try:
                return self._local.read(shard, start, stop, buffer)
            except DataSetError as error:
                # Another process removed the shard, or the disk failed; the store still has it.
                self._local.forget([shard])
                self._pause(_PAUSE_S, lost=shard)
                _log.info("%s: not in the cache any more: %s", self._files[shard].name, error)
        return self._ranged.read(shard, start, stop, buffer)

    def expect(self, shards: Sequence[int]) -> None:
        with self._changed:
            if self._expected == list(shards) or self._is_closing:
                return
            # Threads may still read the last records of shards that just left the list.
            gone = set(self._places).difference(shards, self._expected)
            self._expected = list(shards)
            for shard in shards:
                if self._places.get(shard) is not _Place.HERE:
                    self._places[shard] = _Place.COMING
            for shard in gone:
                del self._places[shard]
            self._paused_until_s = 0.0
            self._changed.notify_all()
        self._local.forget(gone)  # an open file takes space even after its removal
        self._announce()
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._fetch_all, name=f"shard-cache-{number}", daemon=True)
                for number in range(self._num_threads)
            ]
            for thread in self._threads:
                thread.start()

    def close(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._local.close()
        self._folder.close()

    def _wait_for(self, shard: int) -> bool:
        """Wait for a shard that will be fetched, and return whether the shard is in the folder."""
        if self._places.get(shard) is _Place.HERE:  # without the lock: the usual case
            return True
        deadline_s = time.monotonic() + _PATIENCE_S
        with self._changed:
            while True:
                if shard in self._errors:
                    raise self._errors[shard]
                place = self._places.get(shard, _Place.STORE)
                left_s = deadline_s - time.monotonic()
                if place is not _Place.COMING or self._is_closing or left_s <= 0:
                    return place is _Place.HERE
                self._changed.wait(left_s)

    def _announce(self) -> None:
        try:
            self._folder.announce([self._files[shard].entry.sha256 for shard in self._expected])
        except OSError as error:
            _log.warning("%s: cannot be written, so shards may be removed early: %s", self._folder.root, error)

    def _fetch_all(self) -> None:
        while (shard := self._next()) is not None:
            try:
                place = self._fetch(shard)
            except DataSetError as error:
                with self._changed:
                    self._errors[shard] = error
                place = _Place.STORE
            except OSError as error:
                _log.warning("%s: cannot be kept in %s: %s", self._files[shard].name, self._folder.root, error)
                self._pause(_PAUSE_S)
                place = _Place.STORE
            with self._changed:
                self._busy.discard(shard)
                if shard in self._places:
                    self._places[shard] = place
                self._changed.notify_all()

    def _next(self) -> int | None:
        """Wait for a shard to fetch and return it; None when the cache closes."""
        with self._changed:
            while not self._is_closing:
                passed_over = self._busy.union(self._errors)
                for shard in self._expected if time.monotonic() >= self._paused_until_s else ():
                    if shard not in passed_over and self._places[shard] is not _Place.HERE:
                        self._busy.add(shard)
                        self._places[shard] = _Place.COMING
                        return shard
                self._changed.wait(_TAKE_OVER_S)
            return None

    def _fetch(self, shard: int) -> _Place:
        file = self._files[shard]
        digest, num_bytes = file.entry.sha256, file.entry.num_bytes
        while not self._is_closing:
            begun = self._folder.begin(digest, num_bytes)
            if isinstance(begun, Part):
                return self._download(file, begun)
            if begun is Refusal.PRESENT:
                return _Place.HERE
            if begun is Refusal.NO_ROOM:
                self._pause(_TAKE_OVER_S)
                return _Place.STORE
            take_over_s = time.monotonic() + _TAKE_OVER_S
            while time.monotonic() < take_over_s and not self._is_closing:
                if self._folder.has(digest, num_bytes):
                    return _Place.HERE
                time.sleep(_POLL_S)
        return _Place.STORE

    def _download(self, file: ShardFile, part: Part) -> _Place:
        """Fetch a shard, check it and rename it to its final name.

        Raises DataSetError if its bytes are not those that were packed, and OSError.
        """
        is_whole = False
        try:
            found = hashlib.sha256()
            for start in range(0, file.entry.num_bytes, _BYTES_PER_REQUEST):
                if self._is_closing:
                    return _Place.STORE
                stop = min(start + _BYTES_PER_REQUEST, file.entry.num_bytes)
                data = file.store.get_range(file.key, start, stop)
                if len(data) != stop - start:
                    raise DataSetError(
                        f"{file.name}: expected {file.entry.num_bytes:,} bytes, found {start + len(data):,}; "
                        f"{NOT_AS_PACKED}"
                    )
                found.update(data)
                _write(part.descriptor, data)
            if found.hexdigest() != file.entry.sha256:
                raise DataSetError(
                    f"{file.name}: expected sha256 {file.entry.sha256}, found {found.hexdigest()}; {NOT_AS_PACKED}"
                )
            self._folder.finish(part)
            is_whole = True
        finally:
            if not is_whole:
                self._folder.abandon(part)
        return _Place.HERE

    def _pause(self, seconds: float, *, lost: int | None = None) -> None:
        """Fetch nothing for some time. Reads do not wait for shards whose download has not started."""
        with self._changed:
            self._paused_until_s = time.monotonic() + seconds
            for shard, place in self._places.items():
                if shard == lost or (place is _Place.COMING and shard not in self._busy):
                    self._places[shard] = _Place.STORE
            self._changed.notify_all()


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
