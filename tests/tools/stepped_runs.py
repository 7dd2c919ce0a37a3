"""Runs that go one step at a time, as a test says: between any two steps a run may sleep, or be killed for good.

Each run is a thread that waits at a gate before every step. A step on a disk is a call of the system that opens, lists
or changes files; a step in a bucket is a request. No two runs are ever on their way at once, so a failure is found
again from the same steps.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from packer.errors import ClaimLostError
from packer.stores.fsspec_store import RemoteStore
from packer.stores.store import Buffers, Claim

_STEPS_ON_DISK = ("open", "mkdir", "rename", "replace", "link", "unlink", "rmdir", "listdir", "scandir")
_current = threading.local()


class Killed(BaseException):
    """Ends the thread of a run that was killed: none of its steps has an effect any more, whatever it tries."""


def gate() -> None:
    """Wait until the test lets this thread's run make its next step; return at once in other threads."""
    run = getattr(_current, "run", None)
    if run is not None:
        run.wait_for_step()


class SteppedRun:
    """One run. All methods but `wait_for_step` are the test's."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self.name = name
        self.error: Exception | None = None
        """What it ended with, if it failed."""
        self.is_done = False
        self._work = work
        self._is_killed = False
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._stands.acquire()

    def advance(self, num_steps: int | None = None) -> None:
        """Make some steps, or all that are left."""
        while not self.is_done and num_steps != 0:
            num_steps = None if num_steps is None else num_steps - 1
            self._go.release()
            self._stands.acquire()

    def kill(self) -> None:
        """End it without another step."""
        self._is_killed = True
        self.advance()
        self._thread.join()

    def wait_for_step(self) -> None:
        if not self._is_killed:
            self._stands.release()
            self._go.acquire()
        if self._is_killed:
            raise Killed

    def _run(self) -> None:
        _current.run = self
        try:
            gate()
            self._work()
        except Killed:
            pass
        except Exception as error:
            self.error = error
        finally:
            self.is_done = True
            self._stands.release()


def step_on_disk(patch: pytest.MonkeyPatch) -> None:
    """Put the gate before calls of the system."""
    for name in _STEPS_ON_DISK:
        patch.setattr(os, name, _gated(getattr(os, name)))


def _gated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        gate()
        return function(*arguments, **named)

    return call


class SteppedBucket(RemoteStore):
    """fsspec's memory with the gate before each request, and between a look at the claim and the write, as in S3."""

    def claimed(self, claim: Claim) -> SteppedBucket:
        return SteppedBucket(self.uri, claim)

    def get(self, key: str, etag: str = "") -> bytes:
        gate()
        return super().get(key, etag)

    def find_tag(self, key: str) -> str:
        gate()
        return super().find_tag(key)

    def put_if_absent(self, key: str, buffers: Buffers) -> bool:
        self.check_claim()
        gate()
        return self._create(key, b"".join(buffers))

    def put_if_same(self, key: str, buffers: Buffers, tag: str) -> bool:
        self.check_claim()
        gate()
        if super().find_tag(key) != tag:
            return False
        self._call(lambda: self._files.pipe_file(self._path(key), b"".join(buffers)), key)
        return True

    def list(self, prefix: str = "") -> Any:
        gate()
        return iter(list(super().list(prefix)))

    def delete(self, key: str) -> None:
        """Look at the claim and delete in one step: a request that slept in between may remove an object (store.py)."""
        gate()
        if self.claim.tag and super().find_tag(self.claim.key) != self.claim.tag:
            raise ClaimLostError(self.uri)
        RemoteStore.delete(self.claimed(Claim()), key)

    def delete_all(self, keys: Any) -> None:
        for key in keys:
            self.delete(key)
