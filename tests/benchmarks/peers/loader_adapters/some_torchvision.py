"""torchvision, as far as it can be had: importing this module makes importing that one work.

Its compiled part, where it was built for CUDA, does not load beside a PyTorch without CUDA, and then nothing of it can
be imported; declared here, the operators that it misses are only missed by those who call them.
"""

import sys

import torch

try:
    import torchvision
except RuntimeError:
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

HAS_CODECS: bool = torchvision.extension._has_ops()
"""Whether its decoders can be called."""
