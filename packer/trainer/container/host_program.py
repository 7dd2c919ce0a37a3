"""The first process of the training container on each host of a SageMaker job.

The image installs it as `train`, ahead of the toolkit's own `train` on PATH. The kernel drops a signal for which
process 1 of a container has no handler, and SageMaker's toolkit has no handler: without this program no rank would
learn of a stop or of a spot instance's end. The program starts the toolkit and waits until the toolkit ends.

    SIGTERM, on a host that trains    each rank receives it; all save after the same step; then the toolkit is ended
    SIGTERM, on a data host           the host keeps serving while ranks save, for at most `DATA_GRACE_S`
    the toolkit fails                 data hosts are told that training is over
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from packer.channels.jobfiles import (
    BASE_DIR_VARIABLE,
    DEFAULT_BASE_DIR,
    is_training_container,
    load_hyperparameters,
)
from packer.errors import PackerError
from packer.flags import option_name
from packer.trainer.container.host_entry import role_here
from packer.trainer.container.host_role import HostRole
from packer.trainer.container.process_register import ProcessRegister
from packer.trainer.core.feed_options import FeedOptions, group_of_feed
from packer.trainer.core.stopping import EXIT_CODE, SAVE_LIMIT_S

TOOLKIT = (sys.executable, "-m", "sagemaker_training.cli.train")
DATA_GRACE_S = SAVE_LIMIT_S + 20.0
"""Seconds that a data host keeps serving after SIGTERM: ranks need them to save and to report the end of training."""
LIMIT_S = 100.0
"""Seconds from SIGTERM until this program kills what is left; SageMaker itself kills after 120 seconds."""
_GONE_S = 5.0
"""Seconds without a living rank after which the toolkit is ended: it has nothing left to wait for."""
_FINISH_TRIES_S = 20.0
"""Seconds over which the message to data hosts is repeated, since some may still be starting."""
_LOOK_EVERY_S = 0.1


def main() -> None:
    """Run this host's part of the job and exit with its code."""
    sys.exit(HostProgram(os.environ.get(BASE_DIR_VARIABLE, DEFAULT_BASE_DIR)).run())


class HostProgram:
    """One host's part of a job."""

    def __init__(self, base_dir: str, command: tuple[str, ...] = TOOLKIT) -> None:
        """Args: command: the toolkit's command line."""
        self._base_dir, self._command = base_dir, command
        self._register = ProcessRegister(base_dir)
        self._told_s: float | None = None
        self._alive_s = 0.0

    def run(self) -> int:
        """Run the toolkit to its end and return the exit code: 143 if a signal stopped it early."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        role = _role(self._base_dir)
        pid = os.posix_spawn(self._command[0], self._command, os.environ)
        code = self._wait(pid, role)
        if role is HostRole.TRAIN and code:
            _finish_data_hosts(self._base_dir)
        return EXIT_CODE if code and self._told_s is not None else code

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self._told_s is None:
            self._told_s = self._alive_s = time.monotonic()
            os.write(2, b"told to stop: ranks save, then this host ends\n")

    def _wait(self, pid: int, role: HostRole) -> int:
        """Wait for the toolkit and return its exit code; also reap orphaned processes, which is process 1's duty."""
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if ended:
                continue
            if self._told_s is not None:
                self._stop(pid, role, time.monotonic())
            time.sleep(_LOOK_EVERY_S)

    def _stop(self, pid: int, role: HostRole, now_s: float) -> None:
        """Take the steps that are due `now_s - self._told_s` seconds after the signal."""
        assert self._told_s is not None
        if (role is HostRole.DATA and now_s - self._told_s < DATA_GRACE_S) or self._register.signal(signal.SIGTERM):
            self._alive_s = now_s
        elif now_s - self._alive_s > _GONE_S:
            os.kill(pid, signal.SIGTERM)
            self._alive_s = now_s
        if now_s - self._told_s > LIMIT_S:
            os.kill(pid, signal.SIGKILL)


def _role(base_dir: str) -> HostRole:
    try:
        return role_here(base_dir)
    except PackerError:  # the toolkit says what is wrong with the job's files
        return HostRole.TRAIN


def _finish_data_hosts(base_dir: str) -> None:
    """Tell data hosts that training is over, since the ranks may not have lived to do so."""
    try:
        given = load_hyperparameters(base_dir) if is_training_container(base_dir) else {}
        feed = str(given.get("feed", ""))
        if not group_of_feed(feed):
            return
        names = FeedOptions(feed=feed).names(base_dir)
    except PackerError:
        return
    options = {"finish": names, "token_file": given.get("feed-token-file"), "tls": given.get("feed-tls")}
    command = [sys.executable, "-m", "packer.trainer.feed"]
    command += [str(word) for name, value in options.items() if value for word in (option_name(name), value)]
    until_s = time.monotonic() + _FINISH_TRIES_S
    while subprocess.run(command, capture_output=True, check=False).returncode and time.monotonic() < until_s:
        time.sleep(1.0)


if __name__ == "__main__":
    main()
