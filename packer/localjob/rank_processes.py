"""A job's ranks as separate processes, with the variables that torchrun sets."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

from packer.localjob.environment import torchrun_variables
from packer.localjob.job_spec import Rank
from packer.localjob.processes import ProcessGroup, Stream, kill_all


class StartedRanks:
    """One process for each rank."""

    def __init__(
        self, command: Sequence[str], ranks: Sequence[Rank], environments: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Start the ranks.

        Args:
            command: command that each rank runs.
            ranks: all ranks of the job.
            environments: environment variables of each instance, by host name.

        Raises:
            OptionsError: the command cannot be started.
        """
        local_size = max(rank.local_rank for rank in ranks) + 1
        port = find_free_port()
        self.processes: list[ProcessGroup] = []
        try:
            for rank in ranks:
                own = torchrun_variables(rank, world=len(ranks), local_size=local_size, port=port)
                environment = {**environments[rank.host], **own}
                self.processes.append(ProcessGroup(command, environment))
        except BaseException:
            self.end()
            raise

    @property
    def streams(self) -> list[Stream]:
        """Standard output and standard error of the ranks."""
        return [
            Stream(source=str(rank), file=file, is_error=is_error)
            for rank, started in enumerate(self.processes)
            for file, is_error in ((started.output, False), (started.errors, True))
        ]

    def end(self) -> None:
        """Kill the ranks that still run."""
        kill_all(self.processes)

    def exit_codes(self) -> tuple[int | None, ...]:
        """Return each rank's exit code, in order: negative for the signal that ended it, None while it runs."""
        return tuple(process.exit_code for process in self.processes)


def find_free_port() -> int:
    """Return a port of this machine on which no process listens at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
