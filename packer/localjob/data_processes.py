"""The data group of a job: a data host on each of its instances, a process of its own, which ends when training does.

    python -m packer.trainer.container.job_host      what the training image runs there, on a port of this machine

Names such as algo-2 mean nothing on this machine, so ranks get addresses in the place of ``group:NAME``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from packer.loading.feed_source import FeedHost, FeedSource
from packer.localjob.job_spec import LocalJob, list_data_hosts
from packer.localjob.processes import ProcessGroup, Stream, kill_all

_COMMAND = (sys.executable, "-m", "packer.trainer.container.job_host")
_BIND = "127.0.0.1"
_FEED = "feed"
_FINISH_S = 30.0
"""Data hosts that do not end by themselves so long after training are killed."""
_LOOK_EVERY_S = 0.1


def name_data_hosts(job: LocalJob, ports: Sequence[int]) -> LocalJob:
    """Return a job whose ranks ask the data hosts at these ports, if there are any."""
    if not ports:
        return job
    others = tuple(given for given in job.hyperparameters if given[0] != _FEED)
    return replace(job, hyperparameters=(*others, (_FEED, ",".join(f"{_BIND}:{port}" for port in ports))))


class DataHosts:
    """The data hosts of a job that runs; none without a data group."""

    def __init__(self, job: LocalJob, ports: Sequence[int], environments: Mapping[str, Mapping[str, str]]) -> None:
        """Start them.

        Args:
            job: whose they are.
            ports: one for each, in the order of names.
            environments: of the instances, by host.
        """
        self._ports, self._token_file = ports, dict(job.hyperparameters).get("feed-token-file", "")
        self.hosts = list_data_hosts(job)
        self.processes: list[ProcessGroup] = []
        try:
            for host, port in zip(self.hosts, ports, strict=True):
                command = (*_COMMAND, "--bind", _BIND, "--port", str(port))
                self.processes.append(ProcessGroup(command, environments[host]))
        except BaseException:
            kill_all(self.processes)
            raise

    @property
    def streams(self) -> list[Stream]:
        """What they say."""
        return [
            Stream(source=host, file=file, is_error=is_error)
            for host, started in zip(self.hosts, self.processes, strict=True)
            for file, is_error in ((started.output, False), (started.errors, True))
        ]

    def finish(self) -> None:
        """Tell them that training is over, and wait for their ends: the ranks may not have lived to tell them."""
        until_s = time.monotonic() + _FINISH_S
        while any(process.exit_code is None for process in self.processes) and time.monotonic() < until_s:
            self._tell()
            time.sleep(_LOOK_EVERY_S)
        kill_all(self.processes)

    def _tell(self) -> None:
        from packer.loading.remote_feed import finish_hosts  # Arrow Flight, which only jobs with data hosts need

        running = zip(self._ports, self.processes, strict=True)
        hosts = tuple(FeedHost(_BIND, port, _BIND) for port, process in running if process.exit_code is None)
        if hosts:
            finish_hosts(FeedSource(hosts=hosts, token_file=self._token_file))

    def exit_codes(self) -> tuple[int | None, ...]:
        """Return how each ended; minus a number for the signal that ended it."""
        return tuple(process.exit_code for process in self.processes)
