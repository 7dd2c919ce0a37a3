"""A small convolutional network: enough to see a data set train, small enough for a CPU.

Importing this module imports PyTorch.
"""

from __future__ import annotations

from typing import Any

from packer.trainer.torch.torch_library import import_torch

torch: Any = import_torch()
nn: Any = torch.nn

_STAGE_CHANNELS = (32, 64, 128)


def small(num_classes: int) -> Any:
    """Return an untrained network from pictures [batch, 3, height, width] to logits [batch, num_classes]."""
    layers = []
    in_channels = 3
    for channels in _STAGE_CHANNELS:
        layers.append(nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False))
        layers += [nn.GroupNorm(8, channels), nn.ReLU(inplace=True)]
        in_channels = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))
