"""A small convolutional network: enough to see a data set train, small enough for a CPU."""

from __future__ import annotations

from typing import Any

from packer.loading.tf_adapter import import_tensorflow

_STAGE_CHANNELS = (32, 64, 128)


def small(num_classes: int) -> Any:
    """Return an untrained Keras network from pictures [batch, height, width, 3] to logits [batch, num_classes]."""
    keras = import_tensorflow().keras
    stack = []
    for channels in _STAGE_CHANNELS:
        stack.append(keras.layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False))
        stack += [keras.layers.GroupNormalization(groups=8), keras.layers.ReLU()]
    return keras.Sequential([*stack, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(num_classes)])
