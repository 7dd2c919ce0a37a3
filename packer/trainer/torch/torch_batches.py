"""Batches of PyTorch's reader for the trainer, of channels that are streams."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from packer.errors import CorruptRecordError, DataSetError
from packer.reading.read_spec import BatchSpec, ReadSpec
from packer.trainer.core.feed import ArrayBatch, Batch
from packer.trainer.core.progress_state import TrainingProgress
from packer.trainer.core.training_input import Job


class TorchFeed:
    """One rank's batches, of which an epoch is a function of (seed, epoch, rank, world)."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def training(self, progress: TrainingProgress) -> Iterator[tuple[Batch, ...]]:
        """Yield a whole epoch, since a stream has no other place to begin at."""
        job = self._job
        accumulation = job.options.recipe.accumulation
        flat = self._read(job.options.split, progress.epoch, job.steps * accumulation)
        while group := tuple(itertools.islice(flat, accumulation)):
            yield group

    def evaluation(self) -> Iterator[Batch]:
        return self._read(self._job.options.eval_split, 0, self._job.eval_steps)

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
            yield ArrayBatch(images=images.permute(0, 2, 3, 1).numpy(), labels=labels.numpy(), weights=weights.numpy())
        next(batches, None)
