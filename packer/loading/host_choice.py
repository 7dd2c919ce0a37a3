"""Which data host is asked for a batch: arithmetic over what is known of each of them, with no input or output.

Each batch has a data host of first choice, so that all of them are asked equally often, and each for the same shards
where there are not more of them than ranks. Another one is asked if that one is down, or much slower.
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
"""Before any batch has come: a data host opens what it reads for the first one."""
_MEDIAN_OF = 64
_MUCH_SLOWER = 2.0
_FORGET_S = 10.0
"""What a data host was slower than the fastest counts half after so long without an answer: it is tried again."""
_SHARE_OF_NEWEST = 0.3
_LEAST_ASIDE_S = 1.0
_MOST_ASIDE_S = 30.0


class _Known:
    """What is known of one data host."""

    def __init__(self) -> None:
        self.outstanding = 0
        self.answer_s = 0.0
        """Running mean of its answers' times; 0 before the first."""
        self.answered_at_s = 0.0
        self.failures = 0
        """One after the other."""
        self.aside_until_s = 0.0
        self.is_down = False


class HostChoice:
    """The choice of one rank; any thread may ask."""

    def __init__(self, num_hosts: int, *, rank: int, world: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rank, self._world, self._clock = rank, world, clock
        self._hosts = [_Known() for _ in range(num_hosts)]
        self._times_s: deque[float] = deque(maxlen=_MEDIAN_OF)
        self._lock = threading.Lock()

    def begin(self, step: int, tried: Collection[int]) -> int | None:
        """Return the data host to ask for a rank's batch, which `end` or `fail` follows; None where none is left.

        Args:
            step: of the epoch.
            tried: data hosts that have failed to answer this request.
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
        """Return the data host that is asked first: over ranks and steps, each equally often."""
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
        """Note that one did not answer, or not in time, and put it aside; say whether it was up until now."""
        with self._lock:
            known = self._hosts[host]
            known.outstanding -= is_outstanding
            was_up = not known.is_down
            if was_up:  # others that were asked at the same time fail with it
                aside_s = min(_MOST_ASIDE_S, _LEAST_ASIDE_S * 2**known.failures)
                known.failures += 1
                known.is_down, known.aside_until_s = True, self._clock() + aside_s
            return was_up

    def is_waiting_for_beat(self, host: int) -> bool:
        """Say whether one has been aside for long enough: a sign of life brings it back."""
        with self._lock:
            known = self._hosts[host]
            return known.is_down and self._clock() >= known.aside_until_s

    def answered_beat(self, host: int) -> bool:
        """Note that one showed signs of life; say whether it was down until now, and is asked again."""
        with self._lock:
            known = self._hosts[host]
            is_back = known.is_down and self._clock() >= known.aside_until_s
            known.is_down = known.is_down and not is_back
            return is_back

    def deadline_s(self, attempt: int) -> float:
        """Return how long an answer is waited for, in the first attempt (0) or a later one."""
        with self._lock:
            if not self._times_s:
                return _FIRST_DEADLINE_S
            once_s = max(LEAST_DEADLINE_S, _DEADLINE_MEDIANS * statistics.median(self._times_s))
            return once_s * float(2 ** min(attempt, 4))

    def _expected_s(self, index: int) -> float:
        """Return the time in which a data host would answer one request more.

        One that has not answered yet is taken for as fast as the fastest, and one that was slower becomes so again
        the longer it was not asked.
        """
        known = self._hosts[index]
        fastest_s = min((host.answer_s for host in self._hosts if host.answer_s), default=1.0)
        slower_s = max(0.0, known.answer_s - fastest_s)
        age_s = max(0.0, self._clock() - known.answered_at_s)
        return (known.outstanding + 1) * (fastest_s + slower_s * math.exp2(-age_s / _FORGET_S))
