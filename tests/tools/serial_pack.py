"""``python -m tests.tools.serial_pack OPTIONS``: pack in one process, to be stopped, with options given as JSON.

Between attempts it waits less than a user's run does. Exit code 1, and one line, on an error.
"""

from __future__ import annotations

import json
import subprocess
import sys

from packer.errors import PackerError
from packer.options import parse_options
from packer.pipeline import pack
from packer.stores import s3
from packer.stores.retry import RetryPolicy
from tests.tools.datasets import ROOT, SerialEngine


def start_packing(**options: object) -> subprocess.Popen[str]:
    """Start it as a process of its own: a fork could not use a client that its parent has used."""
    command = [sys.executable, "-m", "tests.tools.serial_pack", json.dumps(options)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for its end; return its exit code, and what it said."""
    errors = process.communicate(timeout=240)[1]
    return process.returncode, errors


def main() -> int:
    s3._POLICY = RetryPolicy(cap_s=0.2, budget_s=60)
    try:
        pack(parse_options(json.loads(sys.argv[1])), engine=SerialEngine())
    except PackerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
