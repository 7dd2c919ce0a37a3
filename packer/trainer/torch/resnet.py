"""ResNet-18, -34 and -50 with torchvision's parameter names, so that state dicts fit both.

Source: K. He and others, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, table 1, but a bottleneck
has its stride in the 3x3 convolution. Weights start as in P. Goyal and others, arXiv:1706.02677, section 5.1: the last
normalisation of a block at 0, the classifier normally distributed with standard deviation 0.01.

Importing this module imports PyTorch.
"""

from __future__ import annotations

from typing import Any

from packer.trainer.torch.torch_library import import_torch

torch: Any = import_torch()
nn: Any = torch.nn
_Module: Any = nn.Module

STAGE_CHANNELS = (64, 128, 256, 512)


class BasicBlock(_Module):  # type: ignore[misc]
    """Two 3x3 convolutions with a shortcut for the input."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3, 1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, channels, stride)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, tensor: Any) -> Any:
        inner = self.relu(self.bn1(self.conv1(tensor)))
        inner = self.bn2(self.conv2(inner))
        return self.relu(inner + (tensor if self.downsample is None else self.downsample(tensor)))


class Bottleneck(_Module):  # type: ignore[misc]
    """A 3x3 convolution between two 1x1 convolutions, with a shortcut for the input."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = _conv(in_channels, channels, 1, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _conv(channels, out_channels, 1, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, out_channels, stride)
        nn.init.zeros_(self.bn3.weight)

    def forward(self, tensor: Any) -> Any:
        inner = self.relu(self.bn1(self.conv1(tensor)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        return self.relu(inner + (tensor if self.downsample is None else self.downsample(tensor)))


class ResNet(_Module):  # type: ignore[misc]
    """A network from float pictures [batch, 3, height, width] to logits [batch, num_classes]."""

    def __init__(self, block: Any, depths: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.conv1 = _conv(3, STAGE_CHANNELS[0], 7, 2)
        self.bn1 = nn.BatchNorm2d(STAGE_CHANNELS[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        in_channels = STAGE_CHANNELS[0]
        for index, (channels, depth) in enumerate(zip(STAGE_CHANNELS, depths, strict=True)):
            blocks = []
            for position in range(depth):
                blocks.append(block(in_channels, channels, 2 if index and not position else 1))
                in_channels = channels * block.expansion
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(in_channels, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, tensor: Any) -> Any:
        tensor = self.maxpool(self.relu(self.bn1(self.conv1(tensor))))
        for index in range(len(STAGE_CHANNELS)):
            tensor = getattr(self, f"layer{index + 1}")(tensor)
        return self.fc(torch.flatten(self.avgpool(tensor), 1))


def resnet18(num_classes: int) -> Any:
    """Return an untrained ResNet-18."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes)


def resnet34(num_classes: int) -> Any:
    """Return an untrained ResNet-34."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes)


def resnet50(num_classes: int) -> Any:
    """Return an untrained ResNet-50."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes)


def _conv(in_channels: int, out_channels: int, kernel_px: int, stride: int) -> Any:
    conv = nn.Conv2d(in_channels, out_channels, kernel_px, stride, padding=kernel_px // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _shortcut(in_channels: int, out_channels: int, stride: int) -> Any:
    """Return layers that give a block's input the shape of its output, or None if both shapes are equal."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(_conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))
