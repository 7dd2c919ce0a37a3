"""The data group of a job: one process for the data host of each instance, which ends when training ends.

    python -m packer.trainer.container.job_host      as the training image runs it, but on a port of this machine

Host names such as algo-2 do not resolve on this machine, so ranks get addresses instead of ``group:NAME``.
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
"""Seconds after training at which data hosts that have not ended by themselves are killed."""
_LOOK_EVERY_S = 0.1


def name_data_hosts(job: LocalJob, ports: Sequence[int]) -> LocalJob:
    """Return the job with the addresses of its data hosts in the hyperparameter `feed`; unchanged without ports."""
    if not ports:
        return job
    others = tuple(given for given in job.hyperparameters if given[0] != _FEED)
    return replace(job, hyperparameters=(*others, (_FEED, ",".join(f"{_BIND}:{port}" for port in ports))))


class DataHosts:
    """The data hosts of a running job; none without a data group."""

    def __init__(self, job: LocalJob, ports: Sequence[int], environments: Mapping[str, Mapping[str, str]]) -> None:
        """Start the data hosts.

        Args:
            job: the job that they serve.
            ports: one port for each data host, in the order of their names.
            environments: environment variables of each instance, by host name.
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
        """Standard output and standard error of the data hosts."""
        return [
            Stream(source=host, file=file, is_error=is_error)
            for host, started in zip(self.hosts, self.processes, strict=True)
            for file, is_error in ((started.output, False), (started.errors, True))
        ]

    def finish(self) -> None:
        """Tell the data hosts that training is over, in case the ranks could not, and wait until they end."""
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
        """Return each data host's exit code: negative for the signal that ended it, None while it runs."""
        return tuple(process.exit_code for process in self.processes)
