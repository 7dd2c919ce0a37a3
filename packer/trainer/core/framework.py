"""The seam: what a deep-learning framework does for the trainer. Everything else is done here, once for all of them.

A framework is one folder beside `core`. It makes the model, runs a step, averages, saves and loads.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import msgspec

from packer.dataset.manifest import PixelStatistics
from packer.trainer.core.collective import Collective
from packer.trainer.core.devices import Device
from packer.trainer.core.feed import Batch
from packer.trainer.core.recipe import Recipe

TOP_K = 5
"""The second accuracy counts a record whose class is among so many best guesses."""


class Layout(enum.StrEnum):
    """Order of the axes of pictures: N pictures, C colours, H rows, W columns."""

    NCHW = "NCHW"
    NHWC = "NHWC"


MID_GREY = PixelStatistics(mean=(127.5,) * 3, std=(64.0,) * 3)
"""Stands in for the statistics of a data set that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What a model has to take and give."""

    recipe: Recipe
    num_classes: int
    pixels: PixelStatistics
    """Mean and standard deviation of each channel of the pictures, of 0 to 255."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOrder:
    """What a step is told, beside its batches."""

    learning_rate: float
    seeds: tuple[int, ...]
    """Of everything that is random in the step, one for each batch of this rank."""
    stop: bool = False
    """This rank was told to end."""
    save: bool = False
    """This rank wants a checkpoint."""


class StepNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """What all ranks know of a step once it is over: the same on each."""

    loss: float
    """Mean over all ranks and accumulated batches."""
    stop: bool
    """Some rank was told to end."""
    save: bool
    """Some rank wanted a checkpoint."""

    @classmethod
    def of_means(cls, means: Sequence[float]) -> StepNumbers:
        """Return the numbers from the means over ranks of `riders`."""
        loss, stop, save = means
        return cls(loss=loss, stop=stop > 0, save=save > 0)


def riders(order: StepOrder) -> list[float]:
    """Return the marks that travel with a step's gradients, behind its loss, and come back as means over ranks."""
    return [float(order.stop), float(order.save)]


class PendingStep(Protocol):
    """A step that is under way."""

    def read(self) -> StepNumbers:
        """Wait for its end. Raises WorkerError when another rank is gone, or the step cannot be run."""


class EvaluationSums(msgspec.Struct, frozen=True, kw_only=True):
    """Over records, each once; padding counts for nothing."""

    loss: float
    correct: float
    correct_top5: float
    records: float


class Learner(Protocol):
    """A model and its optimizer, whose trainable parameters are equal on all ranks after every step."""

    def broadcast(self) -> None:
        """Give every rank the whole state of rank 0."""

    def step(self, batches: Sequence[Batch], order: StepOrder) -> PendingStep:
        """Take one step by the mean gradient over these batches and those of all other ranks.

        Raises WorkerError as `PendingStep.read`.
        """

    def evaluate(self, batches: Iterable[Batch]) -> EvaluationSums:
        """Return sums over these batches alone, of this rank."""

    def average(self) -> None:
        """Make the mean over ranks of what ranks do not share, the running statistics of normalisation."""

    def save(self) -> bytes:
        """Return the whole state. Called on one rank, after `average`."""

    def load(self, content: bytes) -> None:
        """Take over what `save` returned. Raises ValueError where it does not fit this model or cannot be read."""

    def export(self, folder: str) -> Layout:
        """Write the trained model for others to load, from uint8 pictures in RGB to logits; say how they lie.

        Raises OSError.
        """


class Framework(Protocol):
    """A library on this rank, which has joined the others."""

    @property
    def name(self) -> str:
        """Such as ``torch``."""

    @property
    def device(self) -> Device:
        """What this rank computes on."""

    @property
    def collective(self) -> Collective:
        """How ranks speak to each other."""

    def tracing(self, folder: str) -> AbstractContextManager[None]:
        """Profile the body into a folder, with the framework's own profiler."""

    def build(self, spec: ModelSpec) -> Learner:
        """Make the model and its optimizer.

        Raises:
            OptionsError: the framework has no such model, or not all that the recipe asks for.
        """


def evaluation_sums(sums: Sequence[float]) -> EvaluationSums:
    """Return the sums from [loss, correct, correct among the best `TOP_K`, weights]."""
    loss, correct, correct_top5, records = sums
    return EvaluationSums(loss=loss, correct=correct, correct_top5=correct_top5, records=records)
