"""Listing a prefix with many requests at a time, and not many more of them than its objects need.

A listing is a chain of pages of 1,000 keys in order, each of which names the next. A chain can start after any key, so
keys are cut into ranges, each a chain of its own. Good places for cuts are the beginnings of folders, of which a
request with ``/`` as its delimiter shows up to 1,000. What such a request shows is used for nothing else: ranges follow
one another without a gap, so every key is listed once, wherever the cuts are.

A range is cut while there are fewer than can be listed side by side, and once it has shown to be long. Each cut may
cost a request, for a last page that is not full, so there is a limit: N objects take at most
1.25 N / 1000 + `_FREE_EXTRA` + 1 requests, however they lie in folders.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any, NamedTuple

from packer.errors import StoreError
from packer.stores.s3pages import OBJECTS
from packer.stores.store import ObjectInfo

_NUM_CHAINS = 16
_LONG_PAGES = 4
"""A range of which so many pages came, and more are there, is worth a cut."""
_FREE_EXTRA = 128
"""Requests spent on cuts in any case; one more may be for each 4,000 objects that were listed."""
_OBJECTS_PER_EXTRA = 4000
_NOT_UTF8 = re.compile("[\ud800-\udfff]")


class Page(NamedTuple):
    """What to ask for: the next page of the keys that start with `prefix`."""

    prefix: str
    delimiter: str = ""
    start: str = ""
    """Only what comes after this key."""
    token: str = ""
    """Of the page before; counts in the place of `start`."""


class _Range(NamedTuple):
    """The keys after `start` up to and with `stop`; an empty `stop` is the end of all."""

    start: str
    stop: str
    folder: str | None
    """Prefix whose folders are places to cut at; None: there are none."""
    token: str = ""
    """Of the page that ended with `start`."""
    num_pages: int = 0
    """How many came of it."""


def list_objects(load: Callable[[Page], Any], prefix: str, *, where: str) -> Iterator[ObjectInfo]:
    """Yield the objects whose whole key starts with `prefix`, which is at the URI `where`.

    Raises as `load`, which returns S3's answer, and StoreError for a listing that would never end.
    """
    ranges = _Ranges(prefix, where)
    with ThreadPoolExecutor(_NUM_CHAINS, thread_name_prefix="list") as threads:
        running: dict[Future[Any], tuple[_Range, Page]] = {}
        try:
            while ranges.pending or running:
                while ranges.pending and len(running) < _NUM_CHAINS:
                    part, page = ranges.pop(len(running))
                    running[threads.submit(load, page)] = part, page
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    part, page = running.pop(future)
                    if page.delimiter:
                        ranges.cut(part, future.result(), len(running))
                    else:
                        yield from ranges.take(part, future.result())
        finally:
            for future in running:
                future.cancel()


class _Ranges:
    """The ranges that are still to be listed, and what was spent on cutting them."""

    def __init__(self, prefix: str, where: str) -> None:
        self._where = where
        self.pending = deque([_Range("", "", prefix)])
        self._prefix = prefix
        self._num_objects = 0
        self._num_extra = 0

    def pop(self, num_running: int) -> tuple[_Range, Page]:
        """Take the next range, and the page to ask for: one of its keys, or one that shows where to cut it."""
        part = self.pending.popleft()
        is_long = part.num_pages >= _LONG_PAGES and part.folder is not None
        if is_long and self._count_idle(num_running) > 1 and self._can_cut(part):
            self._num_extra += 1 + _NUM_CHAINS  # as many as it may come to
            return part, Page(part.folder or "", "/", part.start)
        return part, Page(self._prefix, "", part.start, part.token)

    def _count_idle(self, num_running: int) -> int:
        return _NUM_CHAINS - num_running - len(self.pending)

    def _can_cut(self, part: _Range) -> bool:
        allowed = _FREE_EXTRA + self._num_objects // _OBJECTS_PER_EXTRA
        # A key that is not UTF-8 cannot be sent as what to start after.
        return self._num_extra + 1 + _NUM_CHAINS <= allowed and not _NOT_UTF8.search(part.start)

    def take(self, part: _Range, answer: Any) -> list[ObjectInfo]:
        """Return the objects of a page that are in its range; what is left of the range goes on before any other."""
        found: list[ObjectInfo] = answer[OBJECTS]
        last = max(part.start, found[-1].key, key=_rank) if found else part.start
        if answer.get("IsTruncated") and (not part.stop or _rank(last) < _rank(part.stop)):
            token, num_pages = _next_token(part, answer, self._where), part.num_pages + 1
            self.pending.appendleft(part._replace(start=last, token=token, num_pages=num_pages))
        if found and not (_is_in(part, found[0].key) and _is_in(part, found[-1].key)):
            found = [info for info in found if _is_in(part, info.key)]
        self._num_objects += len(found)
        return found

    def cut(self, part: _Range, answer: Any, num_running: int) -> None:
        """Cut a range, for all idle chains, at folders that a page shows; where it shows none, look elsewhere next."""
        folder = part.folder or ""
        names = [found["Prefix"] for found in answer.get("CommonPrefixes", ())]
        cuts = [name for name in names if _is_in(part, name) and name != part.stop]
        has_more = answer.get("IsTruncated") and (not names or names[-1] in cuts)
        first = _folder_of(part.start, folder)
        step = -(-len(cuts) // max(1, self._count_idle(num_running) - 1)) or 1
        cuts = cuts[::-1][::step][::-1]  # with the last one, after which another page goes on
        self._num_extra -= _NUM_CHAINS - len(cuts)
        if not cuts:
            self.pending.appendleft(part._replace(folder=None if has_more else first))
            return
        self.pending.append(_Range(part.start, cuts[0], first if step == 1 else folder))
        for start, stop in pairwise(cuts):
            self.pending.append(_Range(start, stop, start if step == 1 else folder))
        self.pending.append(_Range(cuts[-1], part.stop, folder if has_more else cuts[-1]))


def _next_token(part: _Range, answer: Any, where: str) -> str:
    """Return the token of the page that follows. Raises StoreError where the listing would never end."""
    token = str(answer.get("NextContinuationToken", ""))
    if token and token != part.token:
        return token
    problem = "the continuation token of the one before it" if token else "no continuation token"
    raise StoreError(
        f"{where}: a page of the listing, after {part.start!r}, says that there is more, but has {problem}: the "
        f"server's listings have no end; update the server, or pack from a listing file or an S3 Inventory"
    )


def _is_in(part: _Range, key: str) -> bool:
    return _rank(part.start) < _rank(key) and (not part.stop or _rank(key) <= _rank(part.stop))


def _folder_of(key: str, folder: str) -> str | None:
    """Return the folder directly in `folder` that holds a key; None if there is none."""
    name, is_in_folder, _ = key[len(folder) :].partition("/")
    return f"{folder}{name}/" if key.startswith(folder) and is_in_folder else None


def _rank(key: str) -> bytes:
    """Return what S3 orders keys by."""
    return key.encode("utf-8", "surrogateescape")
