"""Work that is done ahead of who takes its results: in order, by threads, with a bound on what waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from packer.stores.store import Store

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """How far `map_ahead` goes ahead."""

    name: str
    """Of the threads."""
    threads: int
    items: int
    """Results that wait or are being made, at most; one fewer while a result is handed out."""
    num_bytes: int | None = None
    """Bytes of these, at most, beside the largest; None: any number."""


def map_ahead(
    make: Callable[[K], T], keys: Iterable[K], ahead: Ahead, size_of: Callable[[K], int] = lambda key: 0
) -> Generator[T, None, None]:
    """Yield ``make(key)`` for each of the keys in their order.

    `make` runs in threads, on keys whose sizes in bytes are `size_of` them. What it raises is raised where its result
    would have come. Who stops early, by closing the iterator, waits for what is being made and leaves no thread.
    """
    waiting: deque[Future[T]] = deque()
    held: deque[int] = deque()

    def take() -> T:
        held.popleft()
        return waiting.popleft().result()

    with ThreadPoolExecutor(ahead.threads, thread_name_prefix=ahead.name) as threads:
        try:
            for key in keys:
                num_bytes = size_of(key)
                while waiting and (
                    len(waiting) >= ahead.items
                    or (ahead.num_bytes is not None and sum(held) + num_bytes > ahead.num_bytes)
                ):
                    yield take()
                waiting.append(threads.submit(make, key))
                held.append(num_bytes)
            while waiting:
                yield take()
        finally:
            for future in waiting:
                future.cancel()


def read_in_order(store: Store, keys: Iterable[K], read: Callable[[K], T]) -> Iterator[T]:
    """Yield ``read(key)`` for each of the keys in their order: one after another where a store is near.

    Of a store that is not near, as many objects are read at a time as it finds worth it, by threads, so `read` must be
    safe there; as many results wait at most. Raises what `read` raises, where its result would have come.
    """
    if store.is_near:
        return map(read, keys)
    return map_ahead(read, keys, Ahead(name="read-in-order", threads=store.read_ahead, items=store.read_ahead))
