"""The interface that a deep-learning framework implements for the trainer. `core` does everything else.

Each framework is one folder beside `core`. It makes the model, runs a step, averages, saves and loads.
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
"""Top-k accuracy counts a record whose class is among this many best guesses."""


class Layout(enum.StrEnum):
    """Order of the axes of pictures: N pictures, C colours, H rows, W columns."""

    NCHW = "NCHW"
    NHWC = "NHWC"


MID_GREY = PixelStatistics(mean=(127.5,) * 3, std=(64.0,) * 3)
"""Used for a data set without pixel statistics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What a framework needs to build a model."""

    recipe: Recipe
    num_classes: int
    pixels: PixelStatistics
    """Mean and standard deviation of each channel of the pictures, on the scale of 0 to 255."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOrder:
    """Parameters of a step, apart from its batches."""

    learning_rate: float
    seeds: tuple[int, ...]
    """Seeds for all random operations of the step, one for each batch of this rank."""
    stop: bool = False
    """This rank was told to end."""
    save: bool = False
    """This rank wants a checkpoint."""


class StepNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """Results of a finished step, the same on all ranks."""

    loss: float
    """Mean over all ranks and accumulated batches."""
    stop: bool
    """Some rank was told to end."""
    save: bool
    """Some rank wanted a checkpoint."""

    @classmethod
    def of_means(cls, means: Sequence[float]) -> StepNumbers:
        """Return the numbers, given the means over ranks of [loss, *`riders`]."""
        loss, stop, save = means
        return cls(loss=loss, stop=stop > 0, save=save > 0)


def riders(order: StepOrder) -> list[float]:
    """Return [stop, save] as 0 or 1; they follow the loss in a step's exchange and come back as means over ranks."""
    return [float(order.stop), float(order.save)]


class PendingStep(Protocol):
    """A step that may still be running."""

    def read(self) -> StepNumbers:
        """Wait for the step's end and return its numbers.

        Raises WorkerError if another rank is gone or the step cannot be run.
        """


class EvaluationSums(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the records of an evaluation; each record counts once, padding does not count."""

    loss: float
    correct: float
    correct_top5: float
    records: float


class Learner(Protocol):
    """A model and its optimizer. After every step, all ranks have equal trainable parameters."""

    def broadcast(self) -> None:
        """Give every rank the whole state of rank 0."""

    def step(self, batches: Sequence[Batch], order: StepOrder) -> PendingStep:
        """Take one step by the mean gradient over these batches and those of all other ranks.

        Raises WorkerError as `PendingStep.read`.
        """

    def evaluate(self, batches: Iterable[Batch]) -> EvaluationSums:
        """Return the sums over these batches of this rank."""

    def average(self) -> None:
        """Average over ranks the state that steps do not keep equal: the running statistics of normalisation."""

    def save(self) -> bytes:
        """Return the whole state. Called on one rank, after `average`."""

    def load(self, content: bytes) -> None:
        """Restore a state that `save` returned. Raises ValueError if it cannot be read or does not fit this model."""

    def export(self, folder: str) -> Layout:
        """Write the trained model, from uint8 RGB pictures to logits, and return the layout of its input.

        Raises OSError.
        """


class Framework(Protocol):
    """A deep-learning library on this rank, which has joined the other ranks."""

    @property
    def name(self) -> str:
        """Such as ``torch``."""

    @property
    def device(self) -> Device:
        """The device that this rank computes on."""

    @property
    def collective(self) -> Collective:
        """Exchange of messages between ranks."""

    def tracing(self, folder: str) -> AbstractContextManager[None]:
        """Profile the body with the framework's own profiler and write the profile to a folder."""

    def build(self, spec: ModelSpec) -> Learner:
        """Make the model and its optimizer.

        Raises:
            OptionsError: the framework has no such model or lacks a feature that the recipe asks for.
        """


def evaluation_sums(sums: Sequence[float]) -> EvaluationSums:
    """Return the sums from [loss, correct, correct among the best `TOP_K`, weights]."""
    loss, correct, correct_top5, records = sums
    return EvaluationSums(loss=loss, correct=correct, correct_top5=correct_top5, records=records)
