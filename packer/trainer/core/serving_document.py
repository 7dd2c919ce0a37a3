"""preprocessing.json beside an exported model: how a server must prepare a picture for the model."""

from __future__ import annotations

import os

import msgspec

from packer.trainer.core.framework import MID_GREY, Layout
from packer.trainer.core.recipe import EVALUATION_CROP
from packer.trainer.core.training_input import Job

NAME = "preprocessing.json"
VERSION = 1


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """The model's input array, prepared as in evaluation."""

    dtype: str = "uint8"
    color: str = "RGB"
    layout: str
    """Order of the array's axes: N pictures, C colours, H rows, W columns."""
    height: int
    width: int
    crop: float
    """The model sees the central square of a picture; its side is this share of the picture's short side."""
    resampling: str = "bilinear, antialiased"
    """How that square is scaled to `height` and `width`."""


class Normalisation(msgspec.Struct, frozen=True, kw_only=True):
    """Normalisation of each channel, which the model itself does; a server must not repeat it."""

    where: str = "inside the model"
    formula: str = "(value - mean) / std"
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """The model's output array."""

    kind: str = "logits"
    num_classes: int


class ServingDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document."""

    version: int = VERSION
    framework: str
    model: str
    manifest_digest: str
    input: Input
    normalisation: Normalisation
    output: Output


def put_serving_document(folder: str, job: Job, *, framework: str, layout: Layout) -> None:
    """Write preprocessing.json into the folder of an exported model. Raises OSError."""
    manifest, recipe = job.source.manifest, job.options.recipe
    pixels = manifest.pixels or MID_GREY
    document = ServingDocument(
        framework=framework,
        model=recipe.model,
        manifest_digest=manifest.digest,
        input=Input(
            layout=layout,
            height=recipe.image_size,
            width=recipe.image_size,
            crop=EVALUATION_CROP,
        ),
        normalisation=Normalisation(mean=tuple(pixels.mean), std=tuple(max(std, 1.0) for std in pixels.std)),
        output=Output(num_classes=manifest.num_classes),
    )
    with open(os.path.join(folder, NAME), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
