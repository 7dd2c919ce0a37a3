"""The options that decide what a model learns. None of them depends on where training runs."""

from __future__ import annotations

import enum
import math
from typing import Annotated

import msgspec

from packer.errors import OptionsError

MIN_IMAGE_PX = 16
"""The small networks halve the image three times; a smaller image would leave too few pixels."""
EVALUATION_CROP = 0.875
"""Evaluation sees the central square of a picture; the square's side is this share of the picture's short side."""
SMALL_MODEL = "small"
"""Name of the small network that every framework offers for a first try."""


def about(text: str) -> msgspec.Meta:
    """Return the annotation that holds an option's help text."""
    return msgspec.Meta(description=text)


class Optimizer(enum.StrEnum):
    MOMENTUM = "momentum"
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""
    ADAMW = "adamw"
    """Adam with decoupled weight decay."""


class Decay(enum.StrEnum):
    """How the learning rate falls after the warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"
    """Falls with each step to 0, along half a cosine."""
    STEP = "step"
    """Falls by a factor at the start of certain epochs."""


class Precision(enum.StrEnum):
    """Number format of most of a step's computation; parameters are always float32."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    """float16 with a scaled loss."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Options of training; field names are the command line's with underscores."""

    model: Annotated[str, about("a model of the framework by name, or module:function")] = SMALL_MODEL
    epochs: Annotated[int, about("epochs in all, those of a checkpoint included")] = 1
    batch_size: Annotated[int, about("samples that a rank takes at a time")] = 32
    accumulation: Annotated[int, about("batches of a rank whose gradients are averaged for one step")] = 1
    image_size: Annotated[int, about("width and height of the images in pixels")] = 64
    min_area: Annotated[float, about("least share of a picture that a training crop covers")] = 0.25
    optimizer: Annotated[Optimizer, about("how gradients become steps")] = Optimizer.MOMENTUM
    learning_rate: Annotated[float, about("for `rate_batch` samples a step; grows in proportion to the real ones")] = (
        0.05
    )
    rate_batch: Annotated[int, about("samples that `learning_rate` is meant for; 0: `batch_size`")] = 0
    warmup_epochs: Annotated[float, about("epochs over which the rate climbs")] = 1.0
    decay: Annotated[Decay, about("how the rate falls after the warm-up")] = Decay.CONSTANT
    decay_epochs: Annotated[tuple[int, ...], about("epochs after which `decay=step` lets it fall")] = (30, 60, 80)
    decay_factor: Annotated[float, about("what `decay=step` multiplies it with")] = 0.1
    momentum: Annotated[float, about("of `optimizer=momentum`")] = 0.9
    weight_decay: Annotated[float, about("of kernels and weight matrices, not of biases and normalisation")] = 0.0
    label_smoothing: Annotated[float, about("share of each label that is spread over all classes")] = 0.0
    precision: Annotated[Precision, about("what most of a step is computed in; parameters are float32")] = (
        Precision.FP32
    )
    channels_last: Annotated[bool, about("lay pictures out channels last, where the framework can choose")] = True
    ema: Annotated[float, about("what a running mean of the parameters keeps in a step; 0: no mean")] = 0.0
    """Evaluation and export use the mean instead of the parameters."""
    compile: Annotated[bool, about("let the framework compile the model")] = False

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("accumulation", 1), ("image_size", MIN_IMAGE_PX)):
            self._check(name, getattr(self, name) >= least, f"at least {least}")
        self._check("learning_rate", 0 < self.learning_rate < math.inf, "a number above 0")
        self._check("rate_batch", self.rate_batch >= 0, "at least 0")
        self._check("warmup_epochs", 0 <= self.warmup_epochs <= self.epochs, f"0 to {self.epochs} (`epochs`)")
        self._check("min_area", 0 < self.min_area <= 1, "a share above 0, up to 1")
        for name in ("momentum", "label_smoothing", "ema"):
            self._check(name, 0 <= getattr(self, name) < 1, "0 or more, below 1")
        self._check("weight_decay", 0 <= self.weight_decay < math.inf, "a number of at least 0")
        self._check("decay_factor", 0 < self.decay_factor < 1, "a factor between 0 and 1")
        ordered = list(self.decay_epochs) == sorted(set(self.decay_epochs)) and all(e > 0 for e in self.decay_epochs)
        self._check("decay_epochs", ordered, "epochs above 0 in ascending order")

    def _check(self, name: str, is_right: bool, expected: str) -> None:
        value = getattr(self, name)
        if not is_right:
            found = f"{value:g}" if isinstance(value, float) else value
            raise OptionsError(f"expected {expected}, got {found}", field=name)


PRESETS = {
    "imagenet": Recipe(
        model="resnet50",
        epochs=90,
        image_size=224,
        min_area=0.08,
        learning_rate=0.1,
        rate_batch=256,
        warmup_epochs=5.0,
        decay=Decay.STEP,
        weight_decay=1e-4,
    ),
}
"""Published recipes by name.

imagenet: P. Goyal and others, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", arXiv:1706.02677, section
5.1: momentum 0.9, weight decay 1e-4 (not of normalisation's parameters), rate 0.1 for 256 images and in proportion to
the batch, a warm-up of 5 epochs, a tenth of the rate after epochs 30, 60 and 80, 90 in all. They report 23.7 % top-1
error with 32 images per rank, up to a global batch of 8,192.
"""


def find_preset(name: str) -> Recipe:
    """Return a published recipe, or the plain defaults for an empty name. Raises OptionsError."""
    if not name:
        return Recipe()
    if name not in PRESETS:
        raise OptionsError(f"expected one of {', '.join(PRESETS)}, got {name!r}", field="preset")
    return PRESETS[name]
