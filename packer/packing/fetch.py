"""Items' bytes, read ahead by threads, handed out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from packer.errors import SourceChangedError, SourceError
from packer.imaging.rejects import RejectError, RejectReason
from packer.stores.base import ObjectNotFoundError, Store

_NUM_THREADS = 4
_MAX_AHEAD = 16
_MAX_AHEAD_BYTES = 32_000_000


def fetch_ahead(store: Store, keys: Sequence[str], sizes: Sequence[int]) -> Iterator[bytes | RejectError]:
    """Yield each item's bytes in the order of `keys`, or the RejectError that says why it has none.

    At most 16 items and, beside the largest, 32 MB are held at a time.

    Raises:
        SourceChangedError: an item's size in bytes is not the one in `sizes`.
        SourceError: an item may not be read.
        OSError: the source failed; nothing is known about the item.
    """
    waiting: deque[Future[bytes | RejectError]] = deque()
    held: deque[int] = deque()
    with ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="read-ahead") as threads:
        try:
            for key, num_bytes in zip(keys, sizes, strict=True):
                while waiting and (len(waiting) >= _MAX_AHEAD or sum(held) + num_bytes > _MAX_AHEAD_BYTES):
                    yield waiting.popleft().result()
                    held.popleft()
                waiting.append(threads.submit(_fetch, store, key, num_bytes))
                held.append(num_bytes)
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _fetch(store: Store, key: str, num_bytes: int) -> bytes | RejectError:
    try:
        data = store.get(key)
    except ObjectNotFoundError:
        return RejectError(RejectReason.MISSING, "it was listed, but is not there any more")
    except PermissionError as error:
        raise SourceError(
            f"{store.uri}/{key}: may not be read ({error.strerror}); grant access, then --resume"
        ) from None
    if len(data) != num_bytes:
        raise SourceChangedError(
            f"{store.uri}/{key}: expected {num_bytes:,} bytes as listed, found {len(data):,}; the source changed "
            f"since the plan was made: pack it anew with --overwrite"
        )
    if not data:
        return RejectError(RejectReason.EMPTY_FILE, "it has 0 bytes")
    return data
