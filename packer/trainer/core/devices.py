"""The GPU that a rank uses, and a warning if a GPU is there but unused."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from packer.errors import OptionsError
from packer.trainer.core.world import World

Gpu = TypeVar("Gpu")

_NVIDIA_FILES = ("/dev/nvidia0", "/dev/nvidiactl")
_HIDING = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The device that a rank computes on."""

    gpu: str = ""
    """Name of the rank's GPU; empty for the CPU."""
    library: str = ""
    """Name of the library that should find the GPU, for messages."""
    remedy: str = ""
    """How to install a build of the library that finds the GPU."""
    nvidia_file: str = ""
    """Device file that shows that the host has an NVIDIA GPU; empty if there is none."""
    is_hidden: bool = False
    """The environment hides GPUs from this process on purpose."""

    @property
    def name(self) -> str:
        """Name of the device for messages."""
        return self.gpu or "the CPU"

    @property
    def warning(self) -> str:
        """Warning that the host has a GPU but the library finds none; empty if all is well."""
        if self.gpu or self.is_hidden or not self.nvidia_file:
            return ""
        return (
            f"this host has an NVIDIA device ({self.nvidia_file}), but {self.library} sees no GPU, so the CPU does all "
            f"the work; for GPUs {self.remedy} and start containers with the GPUs, which Docker leaves out if not "
            f"asked; if the CPU is meant, set {_HIDING}=-1"
        )


def find_device(gpu: str, environ: Mapping[str, str], *, library: str, remedy: str) -> Device:
    """Return the device of this process. `gpu` is the name of its GPU, or empty for the CPU."""
    nvidia_file = next(filter(os.path.exists, _NVIDIA_FILES), "")
    is_hidden = environ.get(_HIDING, "0") in ("", "-1")
    return Device(gpu=gpu, library=library, remedy=remedy, nvidia_file=nvidia_file, is_hidden=is_hidden)


def choose_gpu(gpus: Sequence[Gpu], world: World) -> Gpu:
    """Return this rank's GPU out of those that the rank can see.

    A launcher may show all GPUs of the host to every rank, or show each rank only its own.

    Raises OptionsError if several GPUs are visible, but fewer than the host has ranks.
    """
    if len(gpus) == 1:
        return gpus[0]
    if len(gpus) < world.local_size:
        raise OptionsError(
            f"{world.launcher}: expected at most one rank for each of the {len(gpus)} GPUs of this host, "
            f"got {world.local_size} ranks"
        )
    return gpus[world.local_rank]
