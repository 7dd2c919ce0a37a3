"""Softmax regression on the pixels, in plain NumPy: what a training loop takes from the loader and nothing else.

python tests/examples/train_with_numpy.py shards/
"""

import sys

import numpy as np

import packer

PX, BATCH, EPOCHS = 16, 16, 3
with packer.Loader(sys.argv[1], "train", batch_size=BATCH, image_px=PX) as loader:
    num_classes = packer.open(sys.argv[1]).manifest.num_classes
    weights = np.zeros((PX * PX * 3 + 1, num_classes), dtype=np.float32)
    for batch in loader:  # a training split has no end
        pixels = batch.images.reshape(BATCH, -1).astype(np.float32) / 255 - 0.5
        inputs = np.concatenate([pixels, np.ones((BATCH, 1), dtype=np.float32)], axis=1)
        scores = inputs @ weights
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        loss = -np.log(chances[np.arange(BATCH), batch.labels]).mean()
        chances[np.arange(BATCH), batch.labels] -= 1
        weights -= 0.01 * inputs.T @ chances / BATCH
        if batch.step == loader.steps - 1:
            print(f"epoch {batch.epoch}: loss of the last batch {loss:.3f}")
            if batch.epoch == EPOCHS - 1:
                break
    print(loader.meter)
