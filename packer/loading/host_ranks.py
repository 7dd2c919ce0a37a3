"""How many ranks share this host, as launchers tell it."""

from __future__ import annotations

import os

_VARIABLES = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "HOROVOD_LOCAL_SIZE")
"""Of torchrun, Open MPI and horovodrun."""


def count_host_ranks() -> int:
    """Return the number of ranks on this host; 1 where no launcher tells it."""
    told = next((os.environ[name] for name in _VARIABLES if name in os.environ), "1")
    return int(told) if told.isdigit() and int(told) else 1
