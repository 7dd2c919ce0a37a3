"""A training loop in MXNet's Gluon.

python tests/examples/train_with_mxnet.py shards/
"""

import sys

import mxnet as mx
from mxnet import autograd, gluon

import packer

PX, BATCH, EPOCHS = 32, 16, 2
uri = sys.argv[1]
net = gluon.nn.HybridSequential()
net.add(
    gluon.nn.Conv2D(16, 3, strides=2, activation="relu"),
    gluon.nn.GlobalAvgPool2D(),
    gluon.nn.Dense(packer.open(uri).manifest.num_classes),
)
net.initialize(mx.init.Xavier())
trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.05})
measure = gluon.loss.SoftmaxCrossEntropyLoss()

with packer.Loader(uri, "train", batch_size=BATCH, image_px=PX) as loader:
    for batch in packer.mxnet_batches(loader):  # a training split has no end
        images = batch.images.transpose((0, 3, 1, 2)).astype("float32") / 127.5 - 1
        with autograd.record():
            loss = measure(net(images), batch.labels)
        loss.backward()
        trainer.step(BATCH)
        if batch.step == loader.steps - 1:
            print(f"epoch {batch.epoch}: loss of the last batch {loss.mean().asscalar():.3f}")
            if batch.epoch == EPOCHS - 1:
                break
