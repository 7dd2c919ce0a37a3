"""Starts docker/train.py on two ranks as SageMaker's toolkit has mpirun do it: one that fails ends the other.

Ranks are no children of the container's first process, have sessions of their own, and get no signal that this gets.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from packer.localjob.environment import program_arguments, torchrun_variables
from packer.localjob.job_spec import Rank
from packer.parsing import parse_json

ENTRY = Path(__file__).parents[3] / "docker/train.py"
SIZE = 2


def main() -> int:
    base = Path(os.environ["SAGEMAKER_BASE_DIR"])
    arguments = program_arguments(parse_json((base / "input/config/hyperparameters.json").read_bytes()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [
        subprocess.Popen(
            [sys.executable, ENTRY, *arguments],
            start_new_session=True,
            env=os.environ
            | torchrun_variables(Rank(rank=number, local_rank=number, host=""), world=SIZE, local_size=SIZE, port=port),
        )
        for number in range(SIZE)
    ]
    while None in (codes := [rank.poll() for rank in ranks]):
        if any(codes):
            time.sleep(1)
            for rank in ranks:
                rank.kill()
        time.sleep(0.05)
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
