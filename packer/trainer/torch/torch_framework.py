"""PyTorch on this rank: its GPU, its collective and its learner."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from packer.channels.jobfiles import (
    BASE_DIR_VARIABLE,
    DEFAULT_BASE_DIR,
    hosts_of_ranks,
    is_training_container,
    load_hyperparameters,
    load_job_files,
)
from packer.errors import OptionsError
from packer.trainer.core.collective import Collective
from packer.trainer.core.devices import choose_gpu, find_device
from packer.trainer.core.framework import Learner, ModelSpec
from packer.trainer.core.world import Launcher, World
from packer.trainer.torch.ddp_ranks import DdpRanks
from packer.trainer.torch.horovod_torch import HorovodRanks
from packer.trainer.torch.rendezvous import find_meeting
from packer.trainer.torch.torch_library import import_torch
from packer.trainer.torch.torch_ranks import SoloRanks, TorchRanks

COLLECTIVES = ("ddp", "horovod")


class TorchFramework:
    """PyTorch, which has joined the other ranks."""

    name = "torch"

    def __init__(self, world: World, collective: str) -> None:
        """Select this rank's GPU and join the other ranks.

        Args:
            collective: one of `COLLECTIVES`; empty for Horovod under horovodrun, else DistributedDataParallel.

        Raises:
            MissingExtraError: PyTorch is not installed, or Horovod for PyTorch is needed and not installed.
            OptionsError: there is no such collective, too few GPUs, or no known address of the other ranks.
            WorkerError: other ranks do not join within the stall limit.
        """
        if collective and collective not in COLLECTIVES:
            raise OptionsError(f"expected one of {', '.join(COLLECTIVES)}, got {collective!r}", field="collective")
        torch = import_torch()
        self._torch_device, gpu = pin_gpu(torch, world)
        self.device = find_device(
            gpu, os.environ, library="PyTorch", remedy="install a PyTorch with CUDA (pytorch.org/get-started)"
        )
        self._ranks = _join(world, collective, self._torch_device)
        self.collective: Collective = self._ranks.collective

    @contextlib.contextmanager
    def tracing(self, folder: str) -> Iterator[None]:
        """Write trace.json for chrome://tracing, Perfetto and TensorBoard."""
        profiler: Any = import_torch().profiler
        kinds = profiler.ProfilerActivity
        activities = [kinds.CPU, *([kinds.CUDA] if self._torch_device.type == "cuda" else [])]
        with profiler.profile(activities=activities) as profile:
            yield
        profile.export_chrome_trace(os.path.join(folder, "trace.json"))

    def build(self, spec: ModelSpec) -> Learner:
        from packer.trainer.torch.torch_learner import TorchLearner

        return TorchLearner(spec, self._ranks, self._torch_device)


def _join(world: World, collective: str, device: Any) -> TorchRanks:
    if world.size == 1:
        return SoloRanks()
    if collective == "horovod" or (not collective and world.launcher is Launcher.HOROVOD):
        return HorovodRanks(world)
    if world.launcher is Launcher.TORCHRUN:
        return DdpRanks(world, device, None)
    return DdpRanks(world, device, find_meeting(world, os.environ, _list_hosts()))


def _list_hosts() -> tuple[str, ...]:
    """Return the hosts of a SageMaker job in the order of ranks; empty outside of a job."""
    base_dir = os.environ.get(BASE_DIR_VARIABLE, DEFAULT_BASE_DIR)
    if not is_training_container(base_dir):
        return ()
    return hosts_of_ranks(load_job_files(base_dir).resources, load_hyperparameters(base_dir))


def pin_gpu(torch: Any, world: World) -> tuple[Any, str]:
    """Return this rank's device and its GPU's name, empty on the CPU. Raises as `choose_gpu`."""
    if not torch.cuda.is_available():
        return torch.device("cpu"), ""
    index = choose_gpu(range(torch.cuda.device_count()), world)
    torch.cuda.set_device(index)
    return torch.device("cuda", index), torch.cuda.get_device_name(index)
