"""A network with batch normalisation that is small enough for tests, for --model batch_norm_keras:build."""

import tensorflow as tf

layers = tf.keras.layers


def build(num_classes):
    chance = [layers.Dropout(0.1)] if getattr(tf.keras, "__version__", "2").startswith("3") else []
    return tf.keras.Sequential(
        [
            *(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False), layers.BatchNormalization()),
            *(layers.ReLU(), layers.GlobalAveragePooling2D(), *chance, layers.Dense(num_classes)),
        ]
    )
