"""Keras on this rank: its GPU, its collective and its learner."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from types import ModuleType

from packer.loading.tf_adapter import import_tensorflow
from packer.trainer.core.collective import Collective, SoloCollective
from packer.trainer.core.devices import choose_gpu, find_device
from packer.trainer.core.framework import Learner, ModelSpec
from packer.trainer.core.world import World
from packer.trainer.horovod_ranks import check_horovod_launch, join_horovod
from packer.trainer.keras.keras_learner import KerasLearner


class KerasFramework:
    """TensorFlow, which has joined the other ranks through Horovod."""

    name = "keras"

    def __init__(self, world: World, collective: str) -> None:
        """Select this rank's GPU and join the other ranks.

        Raises as `check_horovod_launch`, `choose_gpu` and `join_horovod`, and MissingExtraError if TensorFlow is not
        installed.
        """
        check_horovod_launch(world, collective, library="Keras")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        os.environ["KERAS_BACKEND"] = "tensorflow"  # Keras 3 may be configured for another backend
        self._tf = import_tensorflow()
        self.device = find_device(
            pin_gpu(self._tf, world),
            os.environ,
            library="TensorFlow",
            remedy=f"install a TensorFlow with CUDA (pip install 'tensorflow[and-cuda]=={self._tf.__version__}')",
        )
        self._horovod = join_horovod(world, "horovod.tensorflow", self._tf.errors.OpError)
        self.collective: Collective = self._horovod or SoloCollective()

    @contextlib.contextmanager
    def tracing(self, folder: str) -> Iterator[None]:
        """Write a profile for TensorBoard's profiler plug-in."""
        profiler = self._tf.profiler.experimental
        profiler.start(folder)
        try:
            yield
        finally:
            profiler.stop()

    def build(self, spec: ModelSpec) -> Learner:
        return KerasLearner(spec, self._horovod)


def pin_gpu(tf: ModuleType, world: World) -> str:
    """Let TensorFlow use only this rank's GPU and take memory as needed; return the GPU's name, empty without GPUs.

    Call it before TensorFlow uses a device. Raises as `choose_gpu`.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return ""
    gpu = choose_gpu(gpus, world)
    tf.config.set_visible_devices(gpu, "GPU")
    tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpu)
    return str(details.get("device_name") or gpu.name)
