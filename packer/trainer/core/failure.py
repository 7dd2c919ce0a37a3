"""Telling SageMaker why a job failed: the file whose text becomes the job's FailureReason."""

from __future__ import annotations

import contextlib
import os

from packer.channels.jobfiles import is_training_container
from packer.trainer.core.world import World

MAX_CHARS = 1024
"""SageMaker reads no more."""


def put_failure(base_dir: str, world: World, reason: str) -> None:
    """Write why this rank failed to `<base_dir>/output/failure`, unless another rank on this host has done so before.

    The first reason is the one that matters: ranks that lose another one fail after it. Nothing is written outside of
    a training container, and a file that cannot be written is no further failure.
    """
    if not is_training_container(base_dir):
        return
    folder = os.path.join(base_dir, "output")
    text = f"rank {world.rank} of {world.size}: {reason}"[:MAX_CHARS]
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "failure"), "x", encoding="utf-8") as file:
            file.write(text)
