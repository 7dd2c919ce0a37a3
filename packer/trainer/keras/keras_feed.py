"""Batches of tf.data for the trainer, of channels that are streams."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from packer.errors import DataSetError
from packer.reading.read_spec import BatchSpec, ReadSpec
from packer.reading.tf_data import TfDataset, evaluation_batches, import_tensorflow, training_batches
from packer.trainer.core.feed import ArrayBatch, Batch
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
        """Yield a whole epoch, since a stream has no other place to begin at."""
        job = self._job
        accumulation = job.options.recipe.accumulation
        batches = training_batches(job.source, job.options.split, self._read, self._batch, epoch=progress.epoch)
        flat = self._read_batches(batches, job.options.split, job.steps * accumulation)
        while group := tuple(itertools.islice(flat, accumulation)):
            yield group

    def evaluation(self) -> Iterator[Batch]:
        job = self._job
        split = job.options.eval_split
        return self._read_batches(evaluation_batches(job.source, split, self._read, self._batch), split, job.eval_steps)

    @property
    def steps(self) -> int:
        return self._job.steps

    @property
    def eval_steps(self) -> int:
        return self._job.eval_steps

    @property
    def decoder_id(self) -> str:
        return "of the framework"

    def state(self) -> dict[str, Any]:
        return {}

    def resume(self, state: Mapping[str, Any], progress: TrainingProgress) -> bool:
        """A stream begins at its start."""
        return False

    def close(self) -> None:
        return

    def _read_batches(self, batches: TfDataset, split: str, num_batches: int) -> Iterator[Batch]:
        """Yield `num_batches` and read on to the end. Raises DataSetError where the shards yield more or fewer."""
        iterator = iter(batches)
        for index in range(num_batches):
            try:
                images, labels, weights = next(iterator)
            except (StopIteration, self._tf.errors.OpError) as error:
                raise self._read_error(split, f"batch {index + 1} of {num_batches}", error) from None
            yield ArrayBatch(images=images.numpy(), labels=labels.numpy(), weights=weights.numpy())
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
