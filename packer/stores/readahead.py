"""Many small objects read in order: one after another where a store is near, many at a time where each has to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from packer.stores.store import Store

K = TypeVar("K")
T = TypeVar("T")


def read_in_order(store: Store, keys: Iterable[K], read: Callable[[K], T]) -> Iterator[T]:
    """Yield ``read(key)`` for each of the keys in their order.

    Of a store that is not near, as many objects are read at a time as it finds worth it, by threads, so `read` must be
    safe there; as many results wait at most. Raises what `read` raises, where its result would have come.
    """
    if store.is_near:
        yield from map(read, keys)
        return
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(store.read_ahead, thread_name_prefix="read-in-order") as threads:
        try:
            for key in keys:
                if len(waiting) == store.read_ahead:
                    yield waiting.popleft().result()
                waiting.append(threads.submit(read, key))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
