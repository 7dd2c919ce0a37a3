import collections

import pytest

from packer.loading.host_choice import LEAST_DEADLINE_S, HostChoice


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def choices(num_hosts, clock, *, rank=0, world=1):
    return HostChoice(num_hosts, rank=rank, world=world, clock=clock)


def ask(choice, step, seconds=None, tried=()):
    host = choice.begin(step, tried)
    if seconds is not None and host is not None:
        choice.end(host, seconds)
    return host


@pytest.mark.parametrize(("num_hosts", "world"), [(1, 1), (2, 1), (1, 3), (2, 3), (3, 2), (4, 8), (6, 4)])
def test_hosts_of_first_choice_share_the_batches_of_all_ranks_evenly(num_hosts, world, clock):
    counts = collections.Counter()
    for rank in range(world):
        choice = choices(num_hosts, clock, rank=rank, world=world)
        counts.update(ask(choice, step, 0.1) for step in range(num_hosts))
    assert set(counts.values()) == {world}
    assert len(counts) == num_hosts


def test_a_rank_keeps_to_its_host_where_there_are_enough_ranks(clock):
    for rank in range(8):
        choice = choices(4, clock, rank=rank, world=8)
        assert {ask(choice, step, 0.1) for step in range(20)} == {rank % 4}


def test_another_host_is_asked_where_one_has_failed_to_answer(clock):
    choice = choices(3, clock)
    assert ask(choice, 0) == 0
    assert choice.fail(0)
    assert ask(choice, 0, tried={0}) in (1, 2)
    assert {ask(choice, step) for step in range(9)} == {1, 2}


def test_none_is_left_where_all_are_down_or_tried(clock):
    choice = choices(2, clock)
    choice.fail(ask(choice, 0))
    assert ask(choice, 0, tried={1}) is None
    choice.fail(ask(choice, 0))
    assert ask(choice, 0) is None


def test_a_host_comes_back_by_a_beat_and_not_before_its_time(clock):
    choice = choices(2, clock)
    choice.fail(ask(choice, 0))
    assert not choice.is_waiting_for_beat(0)
    assert not choice.answered_beat(0)
    clock.now_s += 1.5
    assert choice.is_waiting_for_beat(0)
    assert ask(choice, 0, 0.1) == 1
    assert choice.answered_beat(0)
    assert ask(choice, 0, 0.1) == 0


def test_a_host_that_fails_again_and_again_is_put_aside_for_longer(clock):
    choice = choices(2, clock)
    waits = []
    for _ in range(8):
        choice.fail(0, is_outstanding=False)
        start_s = clock.now_s
        while not choice.answered_beat(0):
            clock.now_s += 0.5
        waits.append(clock.now_s - start_s)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_requests_that_fail_together_count_once(clock):
    choice = choices(2, clock)
    hosts = [ask(choice, 0), ask(choice, 0)]
    assert hosts == [0, 0]
    assert [choice.fail(0), choice.fail(0)] == [True, False]
    clock.now_s += 1
    assert choice.answered_beat(0)


def test_a_slow_host_gets_less_and_is_tried_again_later(clock):
    choice = choices(2, clock)
    for step in range(10):
        host = ask(choice, step)
        choice.end(host, 1.0 if host == 0 else 0.1)
    assert {ask(choice, step, 0.1) for step in (10, 12, 14)} == {1}
    clock.now_s += 60
    choice.end(choice.begin(1, ()), 0.1)  # the other one is known well
    assert ask(choice, 20, 0.1) == 0


def test_a_host_that_is_a_little_slower_keeps_its_batches(clock):
    choice = choices(2, clock)
    for step in range(20):
        host = ask(choice, step)
        assert host == step % 2
        choice.end(host, 0.15 if host == 0 else 0.1)


def test_requests_go_elsewhere_where_too_many_wait_at_one(clock):
    choice = choices(2, clock)
    for step in range(4):
        ask(choice, step, 0.1)
    assert [ask(choice, 0) for _ in range(6)].count(1) >= 2


def test_deadlines_follow_the_median_and_grow_with_attempts(clock):
    choice = choices(1, clock)
    assert choice.deadline_s(0) == 20
    for seconds in (0.1, 0.1, 9.0):
        choice.end(choice.begin(0, ()), seconds)
    assert choice.deadline_s(0) == LEAST_DEADLINE_S
    assert choice.deadline_s(1) == 2 * LEAST_DEADLINE_S
    for seconds in (1.0, 1.0, 1.0):
        choice.end(choice.begin(0, ()), seconds)
    assert choice.deadline_s(0) == 4.0
