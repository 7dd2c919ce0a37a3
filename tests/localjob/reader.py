"""A rank for tests of local jobs, without any reader of shardpack: says what it sees, then does what it is told.

python reader.py OUT say           writes OUT/<rank>.json
python reader.py OUT epochs N      ... and reads N epochs of its Pipe channel of the training split
python reader.py OUT CODE          exits with CODE, if it is rank 1; the other ranks sleep
python reader.py OUT killed        kills itself, if it is rank 1
python reader.py OUT stubborn      ignores SIGTERM and SIGINT
python reader.py OUT tidy          writes OUT/<rank>.tidy on SIGTERM and exits with 0
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

OUT, WHAT, *REST = sys.argv[1:]
UNDER_MPI = "OMPI_COMM_WORLD_RANK" in os.environ
NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
MPI_NAMES = ("RANK", "LOCAL_RANK", "SIZE", "LOCAL_SIZE")
PLACE = (
    [int(os.environ[f"OMPI_COMM_WORLD_{n}"]) for n in MPI_NAMES] if UNDER_MPI else [int(os.environ[n]) for n in NAMES]
)
RANK, LOCAL_RANK = PLACE[:2]
DATA = Path(os.environ["SAGEMAKER_BASE_DIR"]) / "input" / "data"


def put(suffix, text):
    part = Path(OUT) / f"{RANK}{suffix}.part"
    part.write_text(text)
    part.rename(part.with_suffix(""))


def say():
    channels = {
        path.name: sorted(child.name for child in path.iterdir()) if path.is_dir() else "fifo"
        for path in DATA.iterdir()
    }
    sm = {name: value for name, value in os.environ.items() if name.startswith("SM_")}
    host = json.loads((DATA.parent / "config/resourceconfig.json").read_text())["current_host"]
    seen = {"place": PLACE, "host": host, "channels": channels, "sm": sm, "pid": os.getpid(), "arguments": REST}
    put(".json", json.dumps(seen))


def read_epochs(count):
    digests = []
    for epoch in range(count):
        path = DATA / f"train{LOCAL_RANK}_{epoch}"
        while not path.exists():
            time.sleep(0.01)
        digests.append(path.read_bytes().hex())
    put(".epochs", json.dumps(digests))


def exit_tidily(*_):
    put(".tidy", "")
    sys.exit(0)


print(f"rank {RANK} says hello")
print(f"rank {RANK} complains", file=sys.stderr)
sys.stdout.flush()
if WHAT == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if WHAT == "tidy":
    signal.signal(signal.SIGTERM, exit_tidily)
if WHAT == "child":
    child = subprocess.Popen(["sleep", "60"])
    put(".child", str(child.pid))
say()
if WHAT == "epochs":
    read_epochs(int(REST[0]))
elif WHAT not in ("say", "child"):
    if RANK == 1 and WHAT == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if RANK == 1 and WHAT.isdigit():
        Path(os.environ["SAGEMAKER_BASE_DIR"], "output", "failure").write_text("rank 1 cannot go on")
        sys.exit(int(WHAT))
    time.sleep(60)
