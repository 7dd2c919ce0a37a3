"""Deleting many objects of a bucket, up to 1,000 with one request.

The answer tells of each object by itself: those that failed for a reason that passes are asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from packer.errors import StoreAccessError, StoreError
from packer.stores.retry import TransientError
from packer.stores.s3errors import Failure, make_error, parse_code

_PATHS_PER_REQUEST = 1000
"""As many as S3 takes."""
_NUM_REQUESTS = 4
"""Requests in flight; one of a thousand objects counts as a thousand where S3 limits requests."""

Send = Callable[[list[str]], Any]
"""Asks for the deletion of objects by their whole keys and returns the answer. Raises TransientError, StoreError."""
Retry = Callable[[Callable[[], None]], None]
"""Calls again while TransientError is raised, and raises StoreError in the end."""


def delete_objects(send: Send, retry: Retry, paths: Iterable[str], *, bucket: str) -> None:
    """Delete objects by their whole keys.

    Raises:
        StoreError: some could not be deleted, the others are gone; the text names one, why, and how many more.
        StoreAccessError: that one may not be deleted.
    """

    def delete(batch: Sequence[str]) -> list[Exception]:
        left, refusals = list(batch), list[Exception]()

        def attempt() -> None:
            problems = _find_problems(send(left), bucket)
            refusals.extend(problem for problem in problems.values() if not isinstance(problem, TransientError))
            left[:] = [path for path, problem in problems.items() if isinstance(problem, TransientError)]
            if left:
                raise problems[left[0]]

        retry(attempt)
        return refusals

    remaining = iter(paths)
    with ThreadPoolExecutor(_NUM_REQUESTS, thread_name_prefix="delete") as threads:
        refusals = [
            refusal
            for found in threads.map(delete, iter(lambda: list(islice(remaining, _PATHS_PER_REQUEST)), []))
            for refusal in found
        ]
    if refusals:
        more = f"; {len(refusals) - 1:,} more objects could not be deleted" if len(refusals) > 1 else ""
        kind = StoreAccessError if isinstance(refusals[0], StoreAccessError) else StoreError
        raise kind(f"{refusals[0]}{more}")


def _find_problems(answer: Any, bucket: str) -> dict[str, Exception]:
    """Return what an answer says of the objects that are still there."""
    problems = {}
    for error in answer.get("Errors", ()):
        code, path = parse_code(str(error.get("Code", ""))), str(error.get("Key", ""))
        status = 403 if code == "AccessDenied" else 400
        problems[path] = make_error(Failure(status, code), bucket=bucket, key=path, action="delete")
    return problems
