"""Makes a model of Keras 2 or 3 by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from packer.errors import OptionsError
from packer.loading.tf_adapter import import_tensorflow
from packer.trainer.core.framework import ModelSpec
from packer.trainer.core.model_function import call_model_function, is_function_name
from packer.trainer.core.recipe import SMALL_MODEL, Precision
from packer.trainer.keras.small_keras import small

_POLICIES = {Precision.FP32: "float32", Precision.BF16: "mixed_bfloat16", Precision.FP16: "mixed_float16"}


def build_model(spec: ModelSpec) -> Any:
    """Return an untrained model from uint8 pictures [batch, px, px, 3] in RGB to logits [batch, num_classes].

    The logits are float32, whatever precision the layers have.

    Raises:
        OptionsError: Keras has no such model.
    """
    recipe = spec.recipe
    keras = import_tensorflow().keras
    policy_before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(_POLICIES[recipe.precision])
    try:
        network = _make_network(recipe.model, spec.num_classes, recipe.image_size)
        image = keras.Input([recipe.image_size, recipe.image_size, 3], dtype="uint8", name="images")
        variance = [max(std, 1.0) ** 2 for std in spec.pixels.std]
        pictures = keras.layers.Normalization(mean=spec.pixels.mean, variance=variance, dtype="float32")(image)
        logits = keras.layers.Activation("linear", dtype="float32")(network(pictures))
        return keras.Model(image, logits)
    finally:
        keras.mixed_precision.set_global_policy(policy_before)


def _make_network(name: str, num_classes: int, image_px: int) -> Any:
    if is_function_name(name):
        return call_model_function(name, num_classes)
    if name == SMALL_MODEL:
        return small(num_classes)
    applications = _list_applications()
    if name not in applications:
        raise OptionsError(
            f"expected {SMALL_MODEL}, module:function, or the name of one of Keras' applications in small letters, "
            f"such as resnet50, got {name!r}",
            field="model",
        )
    return applications[name](
        weights=None, classes=num_classes, input_shape=(image_px, image_px, 3), classifier_activation=None
    )


def _list_applications() -> dict[str, Callable[..., Any]]:
    """Return the constructors of Keras' own models by name in lower case."""
    applications = import_tensorflow().keras.applications
    return {name.lower(): getattr(applications, name) for name in dir(applications) if name[0].isupper()}
