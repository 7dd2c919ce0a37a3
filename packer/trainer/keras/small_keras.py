"""A small convolutional network: enough to see a data set train, small enough for a CPU."""

from __future__ import annotations

from typing import Any

from packer.dataset.manifest import PixelStatistics
from packer.loading.tf_adapter import import_tensorflow

_STAGE_CHANNELS = (32, 64, 128)


def build_model(*, image_px: int, num_classes: int, pixels: PixelStatistics) -> Any:
    """Return a Keras model from uint8 images [batch, image_px, image_px, 3] to logits [batch, num_classes]."""
    keras = import_tensorflow().keras
    image = keras.Input([image_px, image_px, 3], dtype="uint8")
    tensor = keras.layers.Normalization(mean=pixels.mean, variance=[max(std, 1.0) ** 2 for std in pixels.std])(image)
    for channels in _STAGE_CHANNELS:
        tensor = keras.layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)(tensor)
        tensor = keras.layers.GroupNormalization(groups=8)(tensor)
        tensor = keras.layers.ReLU()(tensor)
    tensor = keras.layers.GlobalAveragePooling2D()(tensor)
    return keras.Model(image, keras.layers.Dense(num_classes)(tensor))
