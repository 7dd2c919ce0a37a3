"""Keras' own `fit` on a `tf.data.Dataset` of the loader's batches.

python tests/examples/train_with_keras.py shards/
"""

import sys

import tensorflow as tf

import packer

PX, BATCH, EPOCHS = 32, 16, 2
uri = sys.argv[1]
num_classes = packer.open(uri).manifest.num_classes
model = tf.keras.Sequential([
    tf.keras.layers.Rescaling(1 / 127.5, offset=-1),
    tf.keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
    tf.keras.layers.GlobalAveragePooling2D(),
    tf.keras.layers.Dense(num_classes),
])  # fmt: skip
loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer="sgd", loss=loss, weighted_metrics=["accuracy"])

with packer.Loader(uri, "train", batch_size=BATCH, image_px=PX) as training:
    # The data set has no end, and `fit` goes on with it from epoch to epoch.
    model.fit(packer.tf_dataset(training), steps_per_epoch=training.steps, epochs=EPOCHS, verbose=2)
with packer.Loader(uri, "val", batch_size=BATCH, image_px=PX) as evaluation:
    # The weights of (images, labels, weights) are 0 for what fills up the last batch.
    found = model.evaluate(packer.tf_dataset(evaluation), verbose=0, return_dict=True)
print(f"val: loss {found['loss']:.3f}, accuracy {found['accuracy']:.3f}")
