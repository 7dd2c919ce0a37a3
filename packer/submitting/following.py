"""Watches a job until it ends, and reports its state."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from packer.errors import JobError
from packer.submitting.cloud_logs import CloudLogs
from packer.submitting.target import JobState, SentJob

_POLL_S = 10.0
_SAY_EVERY_S = 60.0
_MAX_SILENT_POLLS = 30
"""Looks in a row that may fail: 5 minutes without a network do not end the watch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How to look at a job, and how to report."""

    look: Callable[[], JobState]
    logs: CloudLogs | None
    say: Callable[[str], None]
    poll_s: float = _POLL_S
    sleep: Callable[[float], None] = time.sleep


def follow(job: SentJob, watch: Watch) -> JobState:
    """Watch a job and return its last state. Report each new state, each new log line and, once a minute, the state.

    Raises:
        JobError: the service did not answer for minutes; the job may still run.
    """
    started_s = spoken_s = time.monotonic()
    spoken, failures = "", 0
    while True:
        try:
            state = watch.look()
            failures = 0
        except JobError as error:
            failures += 1
            if failures >= _MAX_SILENT_POLLS:
                raise JobError(f"{error}; the job {job.label} may go on") from None
            watch.say(f"cannot ask how {job.label} stands, trying again: {error}")
            watch.sleep(watch.poll_s)
            continue
        _say_new_lines(watch)
        now_s = time.monotonic()
        if state.name != spoken:
            watch.say(f"{job.label}: {state.name}")
            spoken, spoken_s = state.name, now_s
        elif now_s - spoken_s >= _SAY_EVERY_S:
            watch.say(f"{job.label}: {state.name} after {(now_s - started_s) / 60:.0f} min")
            spoken_s = now_s
        if state.has_ended:
            return state
        watch.sleep(watch.poll_s)


def _say_new_lines(watch: Watch) -> None:
    """Report the new lines of the job's log. If the log cannot be read, report that and go on watching."""
    if watch.logs is None:
        return
    try:
        for line in watch.logs.new_lines():
            watch.say(line)
    except JobError as error:
        watch.say(f"the job's log cannot be read now: {error}")
