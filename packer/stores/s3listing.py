"""Listing a prefix with many requests at a time.

A listing is a chain: each page names the next. So prefixes are split at ``/`` while there are fewer chains than can
run side by side, and each chain goes on by itself; objects come in no particular order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from packer.stores.base import ObjectInfo
from packer.stores.s3pages import OBJECTS

_NUM_CHAINS = 16

LoadPage = Callable[[str, str, str], Any]
"""Loads a page for (prefix, delimiter, token)."""


class _Page(NamedTuple):
    prefix: str
    delimiter: str
    token: str = ""


def list_objects(load: LoadPage, prefix: str) -> Iterator[ObjectInfo]:
    """Yield the objects whose whole key starts with `prefix`. Raises as `load`."""
    page = _Page(prefix, "/")
    answer = load(*page)
    yield from answer[OBJECTS]
    pending = deque(_next_pages(page, answer))
    if not pending:
        return
    with ThreadPoolExecutor(_NUM_CHAINS, thread_name_prefix="list") as threads:
        running: dict[Future[Any], _Page] = {}
        try:
            while pending or running:
                while pending and len(running) < _NUM_CHAINS:
                    page = pending.popleft()
                    if not page.token and len(pending) + len(running) >= _NUM_CHAINS:
                        page = page._replace(delimiter="")
                    running[threads.submit(load, *page)] = page
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    page, answer = running.pop(future), future.result()
                    pending.extend(_next_pages(page, answer))
                    yield from answer[OBJECTS]
        finally:
            for future in running:
                future.cancel()


def _next_pages(page: _Page, answer: Any) -> Iterator[_Page]:
    if answer.get("IsTruncated"):
        yield page._replace(token=answer["NextContinuationToken"])
    for found in answer.get("CommonPrefixes", ()):
        yield _Page(found["Prefix"], "/")
