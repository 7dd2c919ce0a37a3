"""Results of a training run, as a line for people and a JSON document for programs."""

from __future__ import annotations

import os

import msgspec

from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.open_store import open_store


class EvaluationResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result over the whole evaluation split and all ranks; each record counts once."""

    loss: float
    accuracy: float
    """Share of records whose class was the best guess, in [0, 1]."""
    records: int
    steps: int
    """Batches of each rank."""
    accuracy_top5: float = 0.0
    """Share of records whose class was among the five best guesses, in [0, 1]."""


class EpochResult(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch; epochs count from 1."""

    epoch: int
    steps: int
    """Steps of each rank."""
    loss: float
    """Mean over all ranks and steps."""
    learning_rate: float
    """Learning rate of the epoch's last step."""
    images_per_second: float
    """Sum over all ranks, from the first step to the last."""
    data_wait_s: float = 0.0
    """Seconds that rank 0 waited for batches."""
    evaluation: EvaluationResult | None = None


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run."""

    manifest_digest: str
    split: str
    records: int
    """Records of the training split, fills included."""
    steps_per_epoch: int
    world: int
    batch_size: int
    epochs: tuple[EpochResult, ...]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A finished evaluation of a checkpoint."""

    manifest_digest: str
    split: str
    world: int
    batch_size: int
    epochs_done: int
    """Whole epochs that were trained before the checkpoint."""
    evaluation: EvaluationResult


def format_evaluation(result: EvaluationResult) -> str:
    """Return ``eval steps 2 loss 1.5000 accuracy 0.2500 top-5 0.7500``."""
    return (
        f"eval steps {result.steps} loss {result.loss:.4f} accuracy {result.accuracy:.4f} "
        f"top-5 {result.accuracy_top5:.4f}"
    )


def format_epoch(result: EpochResult, *, rank: int, world: int, epochs: int) -> str:
    """Return ``rank 0/2 epoch 1/5 steps 14 loss 2.3026 images/s 1234``, followed by the evaluation if there was one."""
    line = (
        f"rank {rank}/{world} epoch {result.epoch}/{epochs} steps {result.steps} "
        f"loss {result.loss:.4f} images/s {result.images_per_second:.0f}"
    )
    if result.evaluation is None:
        return line
    return f"{line} {format_evaluation(result.evaluation)}"


def put_metrics(path: str, metrics: Metrics | Evaluation, options: StoreOptions = DEFAULT_STORE) -> None:
    """Write the document to a path or URI, whole or not at all. Raises OSError.

    `options.anonymous` is ignored, since writing to a bucket needs credentials.
    """
    folder, name = os.path.split(path)
    document = msgspec.json.format(msgspec.json.encode(metrics), indent=2) + b"\n"
    open_store(folder or ".", msgspec.structs.replace(options, anonymous=False)).put(name, [document])
