"""Events of training, written as JSON lines for programs and as scalars for TensorBoard."""

from __future__ import annotations

import os
from typing import BinaryIO, Protocol

import msgspec

from packer.trainer.core.metrics import EvaluationResult


class StartEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="start"):
    """A run starts or resumes."""

    time_s: float
    """Seconds since 1970."""
    framework: str
    device: str
    model: str
    world: int
    manifest_digest: str
    steps_per_epoch: int
    step: int
    """Steps trained before this start."""


class StepEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="step"):
    """Every `log_steps`-th step; rates are means since the previous event."""

    time_s: float
    step: int
    """Number of the step in the whole training, counted from 1."""
    epoch: int
    """Counted from 1."""
    loss: float
    learning_rate: float
    images_per_second: float
    """Sum over all ranks."""
    step_s: float
    data_wait_s: float
    """Seconds that rank 0 waited for data since the previous event."""
    memory_bytes: int
    """Peak memory of the process of rank 0."""


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
    """Seconds that training waited for the checkpoint."""


Event = StartEvent | StepEvent | EpochEvent | CheckpointEvent


class EventWriter(Protocol):
    """Writes events one by one; an event is in its file when `put` returns."""

    def put(self, event: Event) -> None:
        """Write an event. Raises OSError."""

    def close(self) -> None:
        """Close the file; no event may follow."""


class JsonLines:
    """Appends events to a file, one JSON object a line."""

    def __init__(self, path: str) -> None:
        self._file: BinaryIO = open_log(path)

    def put(self, event: Event) -> None:
        self._file.write(msgspec.json.encode(event) + b"\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def open_log(path: str) -> BinaryIO:
    """Open a file for appending; make its folder if it does not exist. Raises OSError."""
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    return open(path, "ab")
