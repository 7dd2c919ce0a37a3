"""Trying again what failed for reasons that pass, with full jitter, until a budget of time is spent."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from packer.errors import StoreError

T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)


class TransientError(Exception):
    """A request failed for a reason that passes; the text is one line that holds no credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Waits are drawn evenly from zero to ``base_s * 2**n``, at most `cap_s`, so that many clients spread out."""

    base_s: float = 0.1
    cap_s: float = 20.0
    budget_s: float = 300.0
    """From the first attempt on; an attempt that ends later is the last one."""
    min_attempts: int = 3
    """Attempts that are made even where the first ones spent the budget."""

    def wait_s(self, num_failures: int) -> float:
        """Return the longest wait after a number of failures in a row."""
        return min(self.cap_s, self.base_s * 2.0 ** min(num_failures - 1, 30))


def retry(
    call: Callable[[], T],
    policy: RetryPolicy,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    draw: Callable[[float, float], float] = random.uniform,
) -> T:
    """Return the result of `call`, calling it again while it raises TransientError.

    Raises:
        StoreError: it still did when the budget was spent.
    """
    started, num_failures = clock(), 0
    while True:
        try:
            return call()
        except TransientError as error:
            problem = str(error)
        num_failures += 1
        wait_s = draw(0.0, policy.wait_s(num_failures))
        elapsed_s = clock() - started
        _LOGGER.info("%s; failed %d times in %.1f s, waiting for %.2f s", problem, num_failures, elapsed_s, wait_s)
        if elapsed_s + wait_s > policy.budget_s and num_failures >= policy.min_attempts:
            raise StoreError(
                f"{problem}; tried {num_failures} times in {elapsed_s:.0f} s, so the place or the way to it is down or "
                f"overloaded; when it is back, try again: an interrupted pack goes on with `resume=True`"
            )
        sleep(wait_s)
