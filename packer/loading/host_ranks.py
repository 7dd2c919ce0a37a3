"""The number of ranks on this host, from the variables of launchers."""

from __future__ import annotations

import os

_VARIABLES = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "HOROVOD_LOCAL_SIZE")
"""Variables of torchrun, Open MPI and horovodrun."""


def count_host_ranks() -> int:
    """Return the number of ranks on this host; 1 if no launcher's variable is set."""
    told = next((os.environ[name] for name in _VARIABLES if name in os.environ), "1")
    return int(told) if told.isdigit() and int(told) else 1
