"""The address at which the ranks of a job meet: a pure function of the environment."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packer.errors import OptionsError
from packer.trainer.core.world import Launcher, World

_FIRST_PORT, _NUM_PORTS = 20_000, 12_000
"""Ports below those that Linux gives to clients (32,768 and up)."""
_JOB_NAMES = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMIX_SERVER_URI2")
"""Variables of Open MPI with the same value on all ranks of a job, and another value for every other job on a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Address of the store that rank 0 opens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address as an init_method of torch.distributed."""
        return f"tcp://{self.host}:{self.port}"


def find_meeting(world: World, environ: Mapping[str, str], hosts: Sequence[str]) -> Meeting:
    """Return the address at which ranks that mpirun or horovodrun started meet.

    Args:
        hosts: hosts of a SageMaker job in the job's order, where the first has rank 0; empty outside of a job.

    Raises:
        OptionsError: there are several hosts and nothing tells which of them has rank 0, or MASTER_PORT is not a port.
    """
    port = environ.get("MASTER_PORT", "")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise OptionsError(f"MASTER_PORT: expected a port, got {port!r}")
    return Meeting(host=_find_host(world, environ, hosts), port=int(port) if port else _choose_port(environ))


def _find_host(world: World, environ: Mapping[str, str], hosts: Sequence[str]) -> str:
    if environ.get("MASTER_ADDR"):
        return environ["MASTER_ADDR"]
    if world.local_size == world.size:
        return "127.0.0.1"
    if hosts:
        return hosts[0]
    option = "-x MASTER_ADDR=HOST " if world.launcher is Launcher.OPEN_MPI else ""
    raise OptionsError(
        f"MASTER_ADDR: expected the address of the host of rank 0, as {world.launcher} started ranks on several hosts; "
        f"set it for all ranks ({option}with a free MASTER_PORT)"
    )


def _choose_port(environ: Mapping[str, str]) -> int:
    job = next((environ[name] for name in _JOB_NAMES if environ.get(name)), "")
    return _FIRST_PORT + zlib.crc32(job.encode()) % _NUM_PORTS
