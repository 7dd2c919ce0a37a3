"""Which GPU a rank uses."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TypeVar

from packer.errors import OptionsError
from packer.trainer.world import World

Gpu = TypeVar("Gpu")


def choose_gpu(gpus: Sequence[Gpu], world: World) -> Gpu:
    """Return this rank's own of the GPUs that it can see.

    A launcher may show every rank all of the host's GPUs, or each its own alone.

    Raises OptionsError when there are several, but fewer than ranks on this host.
    """
    if len(gpus) == 1:
        return gpus[0]
    if len(gpus) < world.local_size:
        raise OptionsError(
            f"{world.launcher}: expected at most one rank for each of the {len(gpus)} GPUs of this host, "
            f"got {world.local_size} ranks"
        )
    return gpus[world.local_rank]


def pin_gpu(tf: ModuleType, world: World) -> None:
    """Let TensorFlow use this rank's GPU alone and take its memory as needed. Nothing is done without GPUs.

    To be called before TensorFlow touches a device. Raises as `choose_gpu`.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return
    gpu = choose_gpu(gpus, world)
    tf.config.set_visible_devices(gpu, "GPU")
    tf.config.experimental.set_memory_growth(gpu, True)
