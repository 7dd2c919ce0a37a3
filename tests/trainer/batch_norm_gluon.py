"""A network with batch normalisation that is small enough for tests, for --model batch_norm_gluon:build."""

from mxnet.gluon import nn


def build(num_classes):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(8, 3, strides=2, padding=1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))
    net.add(nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dropout(0.1), nn.Dense(num_classes))
    return net
