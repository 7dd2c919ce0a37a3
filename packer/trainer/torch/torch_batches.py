"""Batches of PyTorch's reader for the trainer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from packer.errors import CorruptRecordError, DataSetError, OptionsError
from packer.reading.read_spec import BatchSpec, ReadSpec
from packer.trainer.core.feed import Batch
from packer.trainer.core.progress_state import TrainingProgress
from packer.trainer.core.training_input import Job


class TorchFeed:
    """One rank's batches, of which an epoch is a function of (seed, epoch, rank, world)."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def training(self, progress: TrainingProgress) -> Iterator[tuple[Batch, ...]]:
        """Yield what is left of the epoch. Raises OptionsError where it was begun with another global batch."""
        job = self._job
        accumulation = job.options.recipe.accumulation
        done, odd = divmod(progress.position, job.global_batch)
        if odd:
            raise OptionsError("--batch-size: expected the global batch with which the epoch was begun, got another")
        flat = self._read(job.options.split, progress.epoch, job.steps * accumulation)
        for _ in range(done * accumulation):
            next(flat)
        while group := tuple(itertools.islice(flat, accumulation)):
            yield group

    def evaluation(self) -> Iterator[Batch]:
        return self._read(self._job.options.eval_split, 0, self._job.eval_steps)

    def state(self) -> dict[str, Any]:
        return {}

    def _read(self, split: str, epoch: int, num_batches: int) -> Iterator[Batch]:
        from packer.reading.torch_data import BatchLoader

        job, recipe = self._job, self._job.options.recipe
        read = ReadSpec(
            rank=job.world.rank,
            world=job.world.size,
            seed=job.options.seed,
            pipe_timeout_s=job.options.pipe_timeout,
        )
        batch = BatchSpec(batch_size=recipe.batch_size, image_px=recipe.image_size, min_area=recipe.min_area)
        batches = BatchLoader(lambda: job.source, split, read, batch).epoch(epoch)
        for index in range(num_batches):
            try:
                images, labels, weights = next(batches)
            except (DataSetError, CorruptRecordError, StopIteration) as error:
                what = f"batch {index + 1} of {num_batches}"
                raise DataSetError(
                    f"{job.source.uri}: split {split!r}: rank {job.world.rank} cannot read {what}: {error}"
                ) from None
            yield Batch(images=images.permute(0, 2, 3, 1).numpy(), labels=labels.numpy(), weights=weights.numpy())
        next(batches, None)
