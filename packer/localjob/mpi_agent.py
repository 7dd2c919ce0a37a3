"""Called by mpirun instead of ssh: ``mpi_agent.py LAUNCH_DIR HOST COMMAND...`` runs COMMAND with HOST's variables.

A separate program that imports only the standard library.
"""

from __future__ import annotations

import json
import os
import sys


def environment_name(host: str) -> str:
    """Return the name of the file that holds an instance's variables."""
    return f"environment-{host}.json"


def main() -> None:
    """Replace this process by the shell that ssh would start on the other machine."""
    launch_dir, host, *command = sys.argv[1:]
    with open(os.path.join(launch_dir, environment_name(host)), encoding="utf-8") as file:
        environment = json.load(file)
    os.execve("/bin/sh", ["sh", "-c", " ".join(command)], environment)


if __name__ == "__main__":
    main()
