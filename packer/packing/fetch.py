"""Items' bytes, handed out in order: read at once where that is quick, ahead by threads where it is not.

Handing an item over from a thread costs five times the CPU of reading it from the page cache, so a store that is near
gets threads only after its reads have kept their callers waiting. The bytes are the same in either case.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Generator, Iterator, Sequence

from packer.errors import PackerError, SourceChangedError, SourceError, StoreError
from packer.imaging.rejects import RejectError, RejectReason
from packer.packing.sample import ItemFiles, ItemRow
from packer.sources.members import IN_ROWS, unpack_member
from packer.stores.readahead import Ahead, map_ahead
from packer.stores.store import ObjectChangedError, ObjectNotFoundError, Store

_AHEAD_PER_THREAD = 2
"""Groups of items that wait or are being fetched, so that a slow one does not leave the other threads idle."""
_GROUP_ITEMS = 4
"""Handing over each by itself took a tenth of the CPU of images from S3: threads and their caller wake each other."""
_GROUP_BYTES = 500_000
_AHEAD_BYTES_PER_THREAD = 1_000_000
"""Bytes that wait or are being fetched; large items are read one by one where reading is quick anyway."""
_PATIENCE_S = 0.1
"""Waiting for a near store that is taken without threads: some turns of others on a busy machine, and what follows."""
_PATIENCE_PER_ITEM_S = 0.0001
"""About what threads would cost in CPU."""
_MISSING_WAITS_S = (0.2, 1.0)
"""A server that has listed an object may deny it for a moment, so a missing one is asked for once more after each."""
_CHANGED = "the source changed since the plan was made: pack it anew with `overwrite=True`"


def fetch_files(store: Store, items: Sequence[ItemRow]) -> Iterator[bytes | ItemFiles | RejectError]:
    """Yield each item's files in their order as `fetch_ahead` does: of one with pictures beside it, all of them.

    Raises as `fetch_ahead`.
    """
    if not any(item.pictures for item in items):
        yield from fetch_ahead(store, items)
        return
    found = fetch_ahead(store, [file for item in items for file in (item, *item.pictures.values())])
    for item in items:
        data = next(found)
        pictures = {name: next(found) for name in item.pictures}
        faults = {name: file for name, file in pictures.items() if isinstance(file, RejectError)}
        if isinstance(data, RejectError):
            yield data
        elif faults:
            name, fault = next(iter(faults.items()))
            yield RejectError(RejectReason.FIELD, f"{name}: {item.pictures[name].key}: {fault.detail}")
        else:
            files = {name: file for name, file in pictures.items() if not isinstance(file, RejectError)}
            yield ItemFiles(data, files)


def fetch_ahead(store: Store, items: Sequence[ItemRow]) -> Generator[bytes | RejectError]:
    """Yield each item's bytes in their order, or the RejectError that says why it has none.

    A near store is read item by item as long as that is quick. From then on, as any other, as many are read at a time
    as the store finds worth it; at most four times as many items and, beside the largest, 1 MB for each are held.

    Raises:
        SourceChangedError: an item's size in bytes, or its entity tag, is not the one that was listed.
        SourceError: an item may not be read.
        PackerError: the source failed; nothing is known about the item.
    """
    num_read = 0
    if store.is_near:
        patience = _Patience()
        while num_read < len(items) and not patience.is_over:
            yield patience.fetch(store, items[num_read])
            num_read += 1
    if num_read < len(items):
        yield from _fetch_in_threads(store, items[num_read:])


class _Patience:
    """Reads for the caller, and counts how long that was spent waiting instead of computing."""

    def __init__(self) -> None:
        self._left_s = _PATIENCE_S

    @property
    def is_over(self) -> bool:
        return self._left_s < 0

    def fetch(self, store: Store, item: ItemRow) -> bytes | RejectError:
        wall_s, cpu_s = time.perf_counter(), time.thread_time()
        try:
            return _fetch(store, item)
        finally:
            waited_s = time.perf_counter() - wall_s - (time.thread_time() - cpu_s)
            self._left_s += _PATIENCE_PER_ITEM_S - waited_s


def _fetch_in_threads(store: Store, items: Sequence[ItemRow]) -> Iterator[bytes | RejectError]:
    ahead = Ahead(
        name="read-ahead",
        threads=store.read_ahead,
        items=_AHEAD_PER_THREAD * store.read_ahead,
        num_bytes=_AHEAD_BYTES_PER_THREAD * store.read_ahead,
    )
    groups = _groups(items, num_alone=store.read_ahead)
    fetched = map_ahead(functools.partial(_fetch_group, store), groups, ahead, size_of=_size_of_group)
    with contextlib.closing(fetched):
        yield from itertools.chain.from_iterable(fetched)  # lets go of a group before it waits for the next


def _groups(items: Sequence[ItemRow], *, num_alone: int) -> Iterator[Sequence[ItemRow]]:
    """Yield the items in groups for one thread each; the first ones alone, since the caller is waiting for them."""
    start = num_bytes = 0
    for stop, item in enumerate(items):
        is_full = stop - start >= _GROUP_ITEMS or num_bytes + item.num_bytes > _GROUP_BYTES
        if start < stop and (is_full or start < num_alone):
            yield items[start:stop]
            start, num_bytes = stop, 0
        num_bytes += item.num_bytes
    if start < len(items):
        yield items[start:]


def _size_of_group(items: Sequence[ItemRow]) -> int:
    return sum(item.num_bytes for item in items)


def _fetch_group(store: Store, items: Sequence[ItemRow]) -> list[bytes | RejectError]:
    return [_fetch(store, item) for item in items]


def _fetch(store: Store, item: ItemRow) -> bytes | RejectError:
    try:
        data = _read(store, item)
    except ObjectNotFoundError:
        if item.member and item.member.method == IN_ROWS:
            problem = "its file does not hold the images that were listed"
            raise SourceChangedError(f"{item.key}: {problem}; {_CHANGED}") from None
        return RejectError(RejectReason.MISSING, "it was listed, but is not there any more")
    except ObjectChangedError as error:
        raise SourceChangedError(f"{error}; {_CHANGED}") from None
    except StoreError:
        raise
    except PermissionError as error:
        problem = f"may not be read ({error.strerror}); grant access, then `resume=True`"
        raise SourceError(f"{store.uri}/{item.key}: {problem}") from None
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error}); mend the source, then `resume=True`"
        raise PackerError(f"{store.uri}/{item.key}: {problem}") from error
    except ValueError as error:
        return RejectError(RejectReason.UNREADABLE, f"its archive member cannot be unpacked: {error}")
    if len(data) != item.num_bytes:
        raise SourceChangedError(
            f"{store.uri}/{item.key}: expected {item.num_bytes:,} bytes as listed, found {len(data):,}; {_CHANGED}"
        )
    if not data:
        return RejectError(RejectReason.EMPTY_FILE, "it has 0 bytes")
    return data


def _read(store: Store, item: ItemRow) -> bytes:
    for wait_s in () if store.is_near else _MISSING_WAITS_S:
        try:
            return _read_once(store, item)
        except ObjectNotFoundError:
            time.sleep(wait_s)
    return _read_once(store, item)


def _read_once(store: Store, item: ItemRow) -> bytes:
    member = item.member
    if member is None:
        return store.get(item.key, item.etag)
    start = member.offset_bytes
    stored = store.get_range(member.archive, start, start + member.stored_bytes, item.etag)
    return unpack_member(stored, method=member.method, num_bytes=item.num_bytes)
