"""The failure file of a SageMaker job, whose text becomes the job's FailureReason."""

from __future__ import annotations

import contextlib
import os

from packer.channels.jobfiles import is_training_container
from packer.trainer.core.world import World

MAX_CHARS = 1024
"""SageMaker reads only this many characters of the file."""


def put_failure(base_dir: str, world: World, reason: str) -> None:
    """Write why this rank failed to `<base_dir>/output/failure`, unless another rank on this host wrote it first.

    The first reason is the cause: ranks that lose another rank fail later. Outside of a training container nothing is
    written, and an error while writing is ignored.
    """
    if not is_training_container(base_dir):
        return
    folder = os.path.join(base_dir, "output")
    text = f"rank {world.rank} of {world.size}: {reason}"[:MAX_CHARS]
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "failure"), "x", encoding="utf-8") as file:
            file.write(text)
