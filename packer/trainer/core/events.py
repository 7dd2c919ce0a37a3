"""What happens in training, as JSON lines for programs and as scalars for TensorBoard."""

from __future__ import annotations

import os
from typing import BinaryIO, Protocol

import msgspec

from packer.trainer.core.metrics import EvaluationResult


class StartEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="start"):
    """A run begins, or goes on."""

    time_s: float
    """Seconds since 1970."""
    framework: str
    device: str
    model: str
    world: int
    manifest_digest: str
    steps_per_epoch: int
    step: int
    """Steps done before."""


class StepEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="step"):
    """One step in so many; rates are means since the event before."""

    time_s: float
    step: int
    """Of the whole training, counted from 1."""
    epoch: int
    """Counted from 1."""
    loss: float
    learning_rate: float
    images_per_second: float
    """Of all ranks together."""
    step_s: float
    data_wait_s: float
    """Seconds that rank 0 waited for data since the event before."""
    memory_bytes: int
    """The most memory that the process of rank 0 has held."""


class EpochEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="epoch"):
    """An epoch is over."""

    time_s: float
    step: int
    epoch: int
    loss: float
    """Mean over the epoch."""
    images_per_second: float
    data_wait_s: float
    evaluation: EvaluationResult | None


class CheckpointEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="checkpoint"):
    """A checkpoint is written."""

    time_s: float
    step: int
    epoch: int
    state_bytes: int
    seconds: float
    """That training waited for it."""


Event = StartEvent | StepEvent | EpochEvent | CheckpointEvent


class EventWriter(Protocol):
    """Takes events one by one, and has each of them where it belongs when the call returns."""

    def put(self, event: Event) -> None:
        """Write an event. Raises OSError."""

    def close(self) -> None:
        """Write nothing more."""


class JsonLines:
    """One JSON object a line, added to a file."""

    def __init__(self, path: str) -> None:
        self._file: BinaryIO = open_log(path)

    def put(self, event: Event) -> None:
        self._file.write(msgspec.json.encode(event) + b"\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def open_log(path: str) -> BinaryIO:
    """Open a file to add to, with its folder if that is not there. Raises OSError."""
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    return open(path, "ab")
