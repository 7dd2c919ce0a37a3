"""Batches of tf.data for the trainer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from packer.errors import DataSetError, OptionsError
from packer.reading.read_spec import BatchSpec, ReadSpec
from packer.reading.tf_data import TfDataset, evaluation_batches, import_tensorflow, training_batches
from packer.trainer.core.feed import Batch
from packer.trainer.core.progress_state import TrainingProgress
from packer.trainer.core.training_input import Job


class KerasFeed:
    """One rank's batches, of which an epoch is a function of (seed, epoch, rank, world)."""

    def __init__(self, job: Job) -> None:
        self._tf = import_tensorflow()
        self._job = job
        options = job.options
        self._read = ReadSpec(
            rank=job.world.rank, world=job.world.size, seed=options.seed, pipe_timeout_s=options.pipe_timeout
        )
        self._batch = BatchSpec(
            batch_size=options.recipe.batch_size,
            image_px=options.recipe.image_size,
            min_area=options.recipe.min_area,
        )

    def training(self, progress: TrainingProgress) -> Iterator[tuple[Batch, ...]]:
        """Yield what is left of the epoch. Raises OptionsError where it was begun with another global batch."""
        job = self._job
        accumulation = job.options.recipe.accumulation
        done, odd = divmod(progress.position, job.global_batch)
        if odd:
            raise OptionsError("--batch-size: expected the global batch with which the epoch was begun, got another")
        batches = training_batches(job.source, job.options.split, self._read, self._batch, epoch=progress.epoch)
        flat = self._read_batches(batches, job.options.split, job.steps * accumulation)
        for _ in range(done * accumulation):
            next(flat)
        while group := tuple(itertools.islice(flat, accumulation)):
            yield group

    def evaluation(self) -> Iterator[Batch]:
        job = self._job
        split = job.options.eval_split
        return self._read_batches(evaluation_batches(job.source, split, self._read, self._batch), split, job.eval_steps)

    def state(self) -> dict[str, Any]:
        return {}

    def _read_batches(self, batches: TfDataset, split: str, num_batches: int) -> Iterator[Batch]:
        """Yield `num_batches` and read on to the end. Raises DataSetError where the shards yield more or fewer."""
        iterator = iter(batches)
        for index in range(num_batches):
            try:
                images, labels, weights = next(iterator)
            except (StopIteration, self._tf.errors.OpError) as error:
                raise self._read_error(split, f"batch {index + 1} of {num_batches}", error) from None
            yield Batch(images=images.numpy(), labels=labels.numpy(), weights=weights.numpy())
        try:
            next(iterator, None)
        except self._tf.errors.OpError as error:
            raise self._read_error(split, f"the end after batch {num_batches}", error) from None

    def _read_error(self, split: str, what: str, error: Exception) -> DataSetError:
        said = describe_tf_error(error)
        remedy = "" if DataSetError.__name__ in said else "; shardpack verify names damaged shards"
        return DataSetError(
            f"{self._job.source.uri}: split {split!r}: rank {self._job.world.rank} cannot read {what}: {said}{remedy}"
        )


_EMPTY_PHRASES = ("Graph execution error", "Detected at node")


def describe_tf_error(error: Exception) -> str:
    """Return the first line of a TensorFlow error that says something, without node names."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]|\[\[.*?\]\]|\bname: ?$", "", str(error), flags=re.MULTILINE)
    lines = (line.strip() for line in text.splitlines())
    said = (line for line in lines if line and not line.startswith(_EMPTY_PHRASES))
    return next(said, type(error).__name__)
