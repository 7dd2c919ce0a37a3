"""Makes a Gluon block by the name of its model."""

from __future__ import annotations

from typing import Any

from packer.errors import OptionsError
from packer.loading.mxnet_adapter import import_mxnet
from packer.trainer.core.framework import ModelSpec
from packer.trainer.core.model_function import call_model_function, is_function_name
from packer.trainer.core.recipe import SMALL_MODEL

mxnet: Any = import_mxnet()
nn: Any = mxnet.gluon.nn
_Block: Any = mxnet.gluon.HybridBlock

_STAGE_CHANNELS = (32, 64, 128)
_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""Names that all frameworks share. Gluon's own names end in a version, such as _v1, for the paper of the ResNet."""


class Pixels(_Block):  # type: ignore[misc]
    """Normalises uint8 pictures [batch, height, width, 3] to float32 [batch, 3, height, width] around 0."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        shape = (1, 3, 1, 1)
        with self.name_scope():
            mean = mxnet.nd.array(spec.pixels.mean).reshape(shape)
            self.mean = self.params.get_constant("mean", mean)
            std = mxnet.nd.array([max(std, 1.0) for std in spec.pixels.std]).reshape(shape)
            self.std = self.params.get_constant("std", std)

    def hybrid_forward(self, F: Any, images: Any, mean: Any, std: Any) -> Any:
        pictures = F.transpose(F.cast(images, "float32"), (0, 3, 1, 2))
        return F.broadcast_div(F.broadcast_sub(pictures, mean), std)


def build_model(spec: ModelSpec, context: Any) -> Any:
    """Return an untrained block from uint8 pictures [batch, px, px, 3] in RGB to logits [batch, num_classes].

    Raises:
        OptionsError: Gluon has no such model.
    """
    px = spec.recipe.image_size
    model = nn.HybridSequential()
    model.add(Pixels(spec), _make_network(spec.recipe.model, spec.num_classes))
    model.initialize(mxnet.init.Xavier(), ctx=context)
    model.hybridize(static_alloc=True)
    model(mxnet.nd.zeros((1, px, px, 3), dtype="uint8", ctx=context))  # sets the shapes of parameters
    return model


def _make_network(name: str, num_classes: int) -> Any:
    if is_function_name(name):
        return call_model_function(name, num_classes)
    if name == SMALL_MODEL:
        return small(num_classes)
    zoo = mxnet.gluon.model_zoo.vision
    try:
        return zoo.get_model(f"{name}_v1" if name in _RESNETS else name, classes=num_classes)
    except ValueError:
        raise OptionsError(
            f"expected {SMALL_MODEL}, module:function, or a name of Gluon's zoo such as resnet50_v1, got {name!r}",
            field="model",
        ) from None


def small(num_classes: int) -> Any:
    """Return a small untrained network for a first try on a CPU."""
    model = nn.HybridSequential()
    for channels in _STAGE_CHANNELS:
        model.add(nn.Conv2D(channels, 3, strides=2, padding=1, use_bias=False))
        model.add(nn.GroupNorm(num_groups=8), nn.Activation("relu"))
    model.add(nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(num_classes))
    return model
