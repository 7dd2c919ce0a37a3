"""Chooses the data host for a batch: arithmetic on what is known of each host, without input or output.

Each batch has a data host of first choice. First choices spread evenly over the hosts; if there are no more hosts than
ranks, a host gets batches of the same shards. Another host is asked if the first choice is down or much slower.
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Collection

LEAST_DEADLINE_S = 2.0
_DEADLINE_MEDIANS = 4.0
_FIRST_DEADLINE_S = 20.0
"""Deadline before any batch has arrived: for its first batch, a data host must open the data set."""
_MEDIAN_OF = 64
_MUCH_SLOWER = 2.0
_FORGET_S = 10.0
"""Half-life of a slow host's extra time: after a while without an answer the host counts as fast and is tried again."""
_SHARE_OF_NEWEST = 0.3
_LEAST_ASIDE_S = 1.0
_MOST_ASIDE_S = 30.0


class _Known:
    """What is known of one data host."""

    def __init__(self) -> None:
        self.outstanding = 0
        self.answer_s = 0.0
        """Running mean of the time of an answer; 0 before the first answer."""
        self.answered_at_s = 0.0
        self.failures = 0
        """Failures since the last answer."""
        self.aside_until_s = 0.0
        self.is_down = False


class HostChoice:
    """The choice of data hosts for one rank. Safe to use from any thread."""

    def __init__(self, num_hosts: int, *, rank: int, world: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rank, self._world, self._clock = rank, world, clock
        self._hosts = [_Known() for _ in range(num_hosts)]
        self._times_s: deque[float] = deque(maxlen=_MEDIAN_OF)
        self._lock = threading.Lock()

    def begin(self, step: int, tried: Collection[int]) -> int | None:
        """Return the index of the data host to ask for a batch, or None if none is left. Call `end` or `fail` after it.

        Args:
            step: the batch's step in the epoch.
            tried: indices of data hosts that failed to answer this request.
        """
        with self._lock:
            left = [index for index, host in enumerate(self._hosts) if index not in tried and not host.is_down]
            if not left:
                return None
            first = self.first_choice(step)
            best = min(left, key=lambda index: (self._expected_s(index), index != first))
            is_fine = first in left and self._expected_s(first) <= _MUCH_SLOWER * self._expected_s(best)
            chosen = first if is_fine else best
            self._hosts[chosen].outstanding += 1
            return chosen

    def first_choice(self, step: int) -> int:
        """Return the index of a step's first choice; over ranks and steps, each host is chosen equally often."""
        return (step * self._world + self._rank) % len(self._hosts)

    def end(self, host: int, seconds: float) -> None:
        """Note that a data host answered in time."""
        with self._lock:
            known = self._hosts[host]
            known.outstanding -= 1
            known.failures, known.is_down = 0, False
            mean = known.answer_s or seconds
            known.answer_s = mean + _SHARE_OF_NEWEST * (seconds - mean)
            known.answered_at_s = self._clock()
            self._times_s.append(seconds)

    def fail(self, host: int, *, is_outstanding: bool = True) -> bool:
        """Note that a data host did not answer in time, and put it aside; return whether it was up until now."""
        with self._lock:
            known = self._hosts[host]
            known.outstanding -= is_outstanding
            was_up = not known.is_down
            if was_up:  # requests sent at the same time fail together: count them once
                aside_s = min(_MOST_ASIDE_S, _LEAST_ASIDE_S * 2**known.failures)
                known.failures += 1
                known.is_down, known.aside_until_s = True, self._clock() + aside_s
            return was_up

    def is_waiting_for_beat(self, host: int) -> bool:
        """Say whether a data host has been aside long enough that a sign of life brings it back."""
        with self._lock:
            known = self._hosts[host]
            return known.is_down and self._clock() >= known.aside_until_s

    def answered_beat(self, host: int) -> bool:
        """Note a data host's sign of life; return whether that brings it back."""
        with self._lock:
            known = self._hosts[host]
            is_back = known.is_down and self._clock() >= known.aside_until_s
            known.is_down = known.is_down and not is_back
            return is_back

    def deadline_s(self, attempt: int) -> float:
        """Return how many seconds to wait for an answer; `attempt` counts from 0."""
        with self._lock:
            if not self._times_s:
                return _FIRST_DEADLINE_S
            once_s = max(LEAST_DEADLINE_S, _DEADLINE_MEDIANS * statistics.median(self._times_s))
            return once_s * float(2 ** min(attempt, 4))

    def _expected_s(self, index: int) -> float:
        """Return the expected seconds until a data host answers one more request.

        A host that has not answered yet counts as fast as the fastest one. The longer a slow host was not asked, the
        closer it counts to the fastest one.
        """
        known = self._hosts[index]
        fastest_s = min((host.answer_s for host in self._hosts if host.answer_s), default=1.0)
        slower_s = max(0.0, known.answer_s - fastest_s)
        age_s = max(0.0, self._clock() - known.answered_at_s)
        return (known.outstanding + 1) * (fastest_s + slower_s * math.exp2(-age_s / _FORGET_S))
