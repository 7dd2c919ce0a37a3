"""Makes a PyTorch module by the name of its model."""

from __future__ import annotations

import importlib
from typing import Any

from packer.errors import OptionsError
from packer.trainer.core.model_function import call_model_function, is_function_name
from packer.trainer.torch.resnet import resnet18, resnet34, resnet50
from packer.trainer.torch.small_torch import small
from packer.trainer.torch.torch_library import import_torch

OWN_MODELS = {"small": small, "resnet18": resnet18, "resnet34": resnet34, "resnet50": resnet50}


def make_model(name: str, num_classes: int) -> Any:
    """Return an untrained model from pictures [batch, 3, height, width] to logits [batch, num_classes].

    Args:
        name: one of `OWN_MODELS`; or ``module:function``, where the function takes the number of classes; or the name
            of a model in torchvision or, failing that, in timm, if they are installed.

    Raises:
        OptionsError: there is no such model.
    """
    if is_function_name(name):
        model = call_model_function(name, num_classes)
    elif name in OWN_MODELS:
        model = OWN_MODELS[name](num_classes)
    else:
        model = _from_torchvision(name, num_classes) or _from_timm(name, num_classes)
    if not isinstance(model, import_torch().nn.Module):
        raise OptionsError(
            f"expected one of {', '.join(OWN_MODELS)}, module:function, or a name that an installed "
            f"torchvision or timm knows, got {name!r}",
            field="model",
        )
    return model


def _from_torchvision(name: str, num_classes: int) -> Any:
    try:
        models: Any = importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError):  # RuntimeError: torchvision was built for another PyTorch
        return None
    return models.get_model(name, weights=None, num_classes=num_classes) if name in models.list_models() else None


def _from_timm(name: str, num_classes: int) -> Any:
    try:
        timm: Any = importlib.import_module("timm")
    except (ImportError, RuntimeError):
        return None
    return timm.create_model(name, num_classes=num_classes) if timm.is_model(name) else None
