"""Which GPU a rank uses, and what to say about it."""

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
    """What a rank computes on, as far as it could be found out."""

    gpu: str = ""
    """Name of the rank's GPU; empty for the CPU."""
    library: str = ""
    """What is to see the GPU, for messages."""
    remedy: str = ""
    """How to install a library that sees it."""
    nvidia_file: str = ""
    """A file by which the host shows an NVIDIA device; empty where there is none."""
    is_hidden: bool = False
    """The environment hides GPUs from this process on purpose."""

    @property
    def name(self) -> str:
        """For a line that says what trains."""
        return self.gpu or "the CPU"

    @property
    def warning(self) -> str:
        """What is suspicious; empty where nothing is."""
        if self.gpu or self.is_hidden or not self.nvidia_file:
            return ""
        return (
            f"this host has an NVIDIA device ({self.nvidia_file}), but {self.library} sees no GPU, so the CPU does all "
            f"the work; for GPUs {self.remedy} and start containers with the GPUs, which Docker leaves out if not "
            f"asked; if the CPU is meant, set {_HIDING}=-1"
        )


def find_device(gpu: str, environ: Mapping[str, str], *, library: str, remedy: str) -> Device:
    """Return what this process computes on, given the name of its GPU or nothing."""
    nvidia_file = next(filter(os.path.exists, _NVIDIA_FILES), "")
    is_hidden = environ.get(_HIDING, "0") in ("", "-1")
    return Device(gpu=gpu, library=library, remedy=remedy, nvidia_file=nvidia_file, is_hidden=is_hidden)


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
