import pytest

from packer.errors import StoreError
from packer.stores.retry import RetryPolicy, TransientError, retry


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.waits_s.append(seconds)


def failing(times: int, clock: Clock, *, takes_s: float = 0.0):
    failures = iter(range(times))

    def call() -> str:
        clock.now_s += takes_s
        if next(failures, None) is not None:
            raise TransientError("s3://b/k: busy")
        return "done"

    return call


def run(call, clock: Clock, policy: RetryPolicy, draw=lambda low, high: high) -> str:
    return retry(call, policy, sleep=clock.sleep, clock=lambda: clock.now_s, draw=draw)


def test_waits_double_up_to_the_cap() -> None:
    clock = Clock()
    assert run(failing(5, clock), clock, RetryPolicy(base_s=1, cap_s=6)) == "done"
    assert clock.waits_s == [1, 2, 4, 6, 6]


def test_jitter_is_full() -> None:
    clock = Clock()
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    run(failing(3, clock), clock, RetryPolicy(base_s=1), draw)
    assert drawn == [(0, 1), (0, 2), (0, 4)]
    assert clock.waits_s == [0, 0, 0]


def test_the_budget_ends_it() -> None:
    clock = Clock()
    with pytest.raises(StoreError, match=r"s3://b/k: busy; tried \d+ times in \d+ s.*`resume=True`"):
        run(failing(1000, clock), clock, RetryPolicy(budget_s=30))
    assert clock.now_s <= 30


def test_slow_attempts_are_made_a_few_times_whatever_they_take() -> None:
    clock = Clock()
    with pytest.raises(StoreError, match="tried 3 times"):
        run(failing(1000, clock, takes_s=600), clock, RetryPolicy(budget_s=30, min_attempts=3))


def test_other_errors_are_not_tried_again() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        retry(call, RetryPolicy())
    assert calls == [1]
