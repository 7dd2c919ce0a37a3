"""The list of frameworks: the only module that knows all of them."""

from __future__ import annotations

import importlib.util

from packer.errors import OptionsError
from packer.trainer.core.framework import Framework
from packer.trainer.core.world import World

NAMES = ("torch", "keras", "mxnet")


def open_framework(name: str, world: World, collective: str) -> Framework:
    """Join the other ranks with a framework.

    Args:
        name: one of `NAMES`; empty for PyTorch, or for Keras where TensorFlow is installed and PyTorch is not.
        collective: library for messages between ranks; empty for the default of framework and launcher.

    Raises:
        MissingExtraError: the framework or the collective library is not installed.
        OptionsError: there is no such framework, or it cannot be used with this collective or launcher.
    """
    has_torch, has_tensorflow = (importlib.util.find_spec(library) for library in ("torch", "tensorflow"))
    chosen = name or ("keras" if has_tensorflow and not has_torch else "torch")
    if chosen == "torch":
        from packer.trainer.torch.torch_framework import TorchFramework

        return TorchFramework(world, collective)
    if chosen == "keras":
        from packer.trainer.keras.keras_framework import KerasFramework

        return KerasFramework(world, collective)
    if chosen == "mxnet":
        from packer.trainer.mxnet.mxnet_framework import MxnetFramework

        return MxnetFramework(world, collective)
    raise OptionsError(f"expected one of {', '.join(NAMES)}, got {name!r}", field="framework")
