"""MXNet on this rank: its GPU, its collective and its learner."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from packer.errors import OptionsError
from packer.loading.mxnet_adapter import import_mxnet
from packer.trainer.core.collective import Collective, SoloCollective
from packer.trainer.core.devices import choose_gpu, find_device
from packer.trainer.core.framework import Learner, ModelSpec
from packer.trainer.core.recipe import Optimizer, Precision
from packer.trainer.core.world import World
from packer.trainer.horovod_ranks import check_horovod_launch, join_horovod
from packer.trainer.mxnet.gluon_learner import GluonLearner


class MxnetFramework:
    """MXNet, which has joined the other ranks through Horovod."""

    name = "mxnet"

    def __init__(self, world: World, collective: str) -> None:
        """Select this rank's GPU and join the other ranks.

        Raises as `check_horovod_launch`, `choose_gpu` and `join_horovod`, and MissingExtraError if MXNet is not
        installed.
        """
        check_horovod_launch(world, collective, library="MXNet")
        # MKL-DNN leaves arrays in layouts of its own, which Horovod cannot exchange.
        os.environ.setdefault("MXNET_MKLDNN_ENABLED", "0")
        # Without MKL-DNN, MXNet prints many harmless lines about storage on each rank.
        os.environ.setdefault("MXNET_STORAGE_FALLBACK_LOG_VERBOSE", "0")
        self._mxnet = import_mxnet()
        self._context, gpu = pin_gpu(self._mxnet, world)
        self.device = find_device(
            gpu, os.environ, library="MXNet", remedy="install an MXNet with CUDA (pip install mxnet-cu112==1.9.1)"
        )
        self._horovod = join_horovod(world, "horovod.mxnet", self._mxnet.base.MXNetError)
        self.collective: Collective = self._horovod or SoloCollective()

    @contextlib.contextmanager
    def tracing(self, folder: str) -> Iterator[None]:
        """Write trace.json for chrome://tracing and Perfetto."""
        profiler = self._mxnet.profiler
        profiler.set_config(profile_all=True, filename=os.path.join(folder, "trace.json"))
        profiler.set_state("run")
        try:
            yield
        finally:
            self._mxnet.nd.waitall()
            profiler.set_state("stop")
            profiler.dump()

    def build(self, spec: ModelSpec) -> Learner:
        recipe = spec.recipe
        for field, is_asked in (
            ("ema", recipe.ema > 0),
            ("optimizer", recipe.optimizer is not Optimizer.MOMENTUM),
            ("precision", recipe.precision is not Precision.FP32),
        ):
            if is_asked:
                raise OptionsError("expected it with `framework=torch` or keras; MXNet has none here", field=field)
        return GluonLearner(spec, self._horovod, self._context)


def pin_gpu(mxnet: Any, world: World) -> tuple[Any, str]:
    """Return this rank's context and its GPU's name, empty on the CPU. Raises as `choose_gpu`."""
    num_gpus = mxnet.context.num_gpus()
    if not num_gpus:
        return mxnet.cpu(), ""
    context = mxnet.gpu(choose_gpu(range(num_gpus), world))
    return context, str(context)
