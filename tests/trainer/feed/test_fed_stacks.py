"""Each framework on two ranks that data hosts feed, which are stopped and killed in the middle of an epoch."""

from __future__ import annotations

import signal

import pytest

from tests.tools.data_hosts import started_host
from tests.trainer.rank_jobs import learnable, read_events, started, wait_for
from tests.trainer.stacks import FINAL_STATES, PATHS, STACKS, Stack, digests

pytestmark = pytest.mark.slow

EPOCHS, STEPS = 6, 40
STOP_AFTER, KILL_AFTER = 10, 50
"""Steps: in the first epoch, and in the second."""

ONE_OF_EACH = [stack for stack in STACKS if stack.id in ("torch", "keras", "mxnet")]


@pytest.mark.parametrize("stack", ONE_OF_EACH)
def test_ranks_whose_data_hosts_are_stopped_and_killed_end_with_the_parameters_of_lone_ones(stack: Stack, tmp_path):
    """Each sample that is lost, doubled or changed would change them."""
    stack.skip_if_missing()
    learnable(tmp_path / "data", num_records=STEPS * 8, container=stack.container)
    options = (
        *(f"data={tmp_path}/data", f"model={stack.model}", f"epochs={EPOCHS}", "batch_size=4", "image_size=16"),
        *("loader=process", "threads=1", "log_steps=1"),
    )
    alone = digests(stack.train(stack.launcher, 2, options), 2)
    assert len(alone) == 1

    log = tmp_path / "log.jsonl"
    with started_host(tmp_path / "data") as first, started_host(tmp_path / "data") as second:
        fed = (*options, f"feed={first.address},{second.address}", f"log={log}")
        words = (FINAL_STATES, stack.framework, stack.collective, *fed)
        with started(stack.launcher, 2, *words, PYTHONPATH=PATHS) as job:
            wait_for(lambda: len(read_events(log)) > STOP_AFTER or job.launcher.poll() is not None)
            first.signal(signal.SIGSTOP)
            wait_for(lambda: len(read_events(log)) > KILL_AFTER or job.launcher.poll() is not None)
            second.signal(signal.SIGKILL)
            first.signal(signal.SIGCONT)
            harmed_at = len(read_events(log))
            ended = job.finish()
        assert digests(ended, 2) == alone
        assert KILL_AFTER < harmed_at < EPOCHS * STEPS, "the harm came too late to do any"
        code, said = first.finish()
        assert (code, second.process.wait()) == (0, -signal.SIGKILL)
        assert said.startswith("training is over; made "), said
