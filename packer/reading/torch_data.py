"""Batches for PyTorch, exactly as many on every rank as the manifest promises.

    records of the rank, in the order of the epoch
    |---- worker 0 ----|---- worker 1 ----|---- worker 2 ----|      runs of whole batches
      samples -> shuffle buffer -> crop, decode, scale -> batch

Every batch is (images uint8 [batch, 3, size, size] in RGB, laid out channels last; labels int64 [batch], or float32
[batch, n] where they are vectors; weights float32 [batch]).

Importing this module imports PyTorch; no other module of `packer.reading` does.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

from packer.errors import DataSetError, OptionsError
from packer.extras import require_extra
from packer.formats.container import Sample
from packer.reading.crops import central_window, random_window
from packer.reading.pictures import Pixels, picture_cutter
from packer.reading.read_spec import BatchSpec, ReadSpec
from packer.reading.records import iter_samples
from packer.reading.source import RecordSource, count_steps
from packer.specs import is_training_split

torch: Any = require_extra("torch", "torch", purpose="reading with PyTorch")
_IterableDataset: Any = torch.utils.data.IterableDataset

Batch: TypeAlias = tuple[Any, Any, Any]
"""Images, labels and weights: tensors, whose type is not importable where types are checked."""

OpenSource: TypeAlias = Callable[[], RecordSource]
"""Such as ``functools.partial(open_dataset, "shards/")``: each process opens the data set for itself."""

_START_METHOD = "spawn"
"""A fork of a process that has reached a bucket hangs, and one that has initialised CUDA cannot use it."""


class BatchLoader:
    """One split of a data set, batch by batch and epoch by epoch.

    A training split is shuffled, randomly cropped and mirrored, as (seed, epoch, rank, number of workers) say; its
    last short batch is left out, and all weights are 1. Any other split is not shuffled (each worker's run of it is in
    stored order, and workers take turns) but cropped around the centre, each record once; what is missing of the last
    batches is black images of label 0 and weight 0.
    """

    def __init__(
        self, open_source: OpenSource, split: str, read: ReadSpec, batch: BatchSpec, *, num_workers: int = 0
    ) -> None:
        """Check the rank's share of the split.

        Args:
            open_source: opens the data set or the job's channels; it must be picklable if there are workers.
            split: the name of one of its splits.
            read: who reads; all ranks but for `rank` the same.
            batch: the same on every rank.
            num_workers: processes that decode, kept from epoch to epoch; 0 decodes in this one. Scripts that use them
                need the usual ``if __name__ == "__main__":``.

        Raises:
            DataSetError: the split or a shard is missing, or it has no labels.
            OptionsError: the shards do not divide by the world, a rank cannot fill a batch, or several workers are
                asked to read the one stream of a Pipe channel.
        """
        source = open_source()
        source.check(split, rank=read.rank, world=read.world)
        if source.manifest.label_kind == "none":
            raise DataSetError(f"{source.uri}: expected labels, found none; read it with iter_samples")
        if num_workers > 1 and source.files(split, read, epoch=0) is None:
            raise OptionsError(f"{source.uri}: expected at most one worker, as a Pipe is one stream, got {num_workers}")
        self.steps: int = count_steps(source, split, world=read.world, batch_size=batch.batch_size)
        """Batches of an epoch, on every rank."""
        # A process that decodes for itself keeps the source, which counts the epochs of a Pipe.
        opened = open_source if num_workers else partial(_same, source)
        self._batches = _Batches(opened, split, read, batch, self.steps)
        self._loader = torch.utils.data.DataLoader(
            self._batches,
            batch_size=None,
            collate_fn=_same,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            multiprocessing_context=_START_METHOD if num_workers else None,
            pin_memory=torch.cuda.is_available(),
        )

    def epoch(self, epoch: int = 0) -> Iterator[Batch]:
        """Yield exactly `steps` batches. One epoch is read at a time: a new one ends that before it.

        Raises, also out of a worker:
            DataSetError: a shard holds more or fewer records, or a sample does not decode.
            CorruptRecordError: a record's framing or checksum is wrong.
        """
        self._batches.epoch.fill_(epoch)
        yield from self._loader


class _Batches(_IterableDataset):  # type: ignore[misc]
    """What a worker is given: how to open the data set, and which epoch is being read."""

    def __init__(self, open_source: OpenSource, split: str, read: ReadSpec, batch: BatchSpec, steps: int) -> None:
        self.epoch = torch.zeros([], dtype=torch.int64).share_memory_()
        """Set by the process that asks, seen by workers that live on from the epoch before."""
        self._open_source, self._split, self._read, self._batch, self._steps = open_source, split, read, batch, steps
        self._source: RecordSource | None = None

    def __iter__(self) -> Iterator[Batch]:
        self._source = self._source or self._open_source()
        worker = torch.utils.data.get_worker_info()
        index, num_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        steps = range(self._steps * index // num_workers, self._steps * (index + 1) // num_workers)
        # The epoch is looked up now: when the first batch is asked for, it may be another one.
        return self._run(self._source, int(self.epoch), steps)

    def _run(self, source: RecordSource, epoch: int, steps: range) -> Iterator[Batch]:
        size = self._batch.batch_size
        part = range(steps.start * size, steps.stop * size) if len(steps) < self._steps else None
        samples = iter_samples(source, self._split, self._read, epoch=epoch, part=part) if steps else iter(())
        stack = _Stack(source, self._split, self._read, self._batch, epoch)
        for step in steps:
            yield stack.batch(step, list(itertools.islice(samples, size)))
        for _ in samples:
            pass  # The last short batch is not trained on, but a stream is read to its end, and checked.


class _Stack:
    """Makes tensors of samples."""

    def __init__(self, source: RecordSource, split: str, read: ReadSpec, batch: BatchSpec, epoch: int) -> None:
        self._source, self._split, self._read, self._batch = source, split, read, batch
        self._cut = picture_cutter(source.manifest.image, batch)
        self._seed = f"{read.seed}\0{epoch}\0{read.rank}"

    def batch(self, step: int, samples: list[Sample]) -> Batch:
        """Return the batch of these samples, filled up to its size."""
        size, side = self._batch.batch_size, self._batch.image_px
        images = torch.empty([size, side, side, 3], dtype=torch.uint8).permute(0, 3, 1, 2)
        for index, sample in enumerate(samples):
            images[index] = self._image(sample, step * size + index)
        images[len(samples) :] = 0
        weights = torch.zeros([size])
        weights[: len(samples)] = 1
        return images, self._labels(samples), weights

    def _image(self, sample: Sample, position: int) -> Any:
        """Return a sample's picture as a tensor; `position` in the epoch decides how it is varied."""
        if not is_training_split(self._split):
            return self._scale(self._cut(sample, partial(central_window, batch=self._batch)))
        generator = random.Random(f"{self._seed}\0{position}")
        choose = partial(random_window, batch=self._batch, generator=generator)
        image = self._scale(self._cut(sample, choose))
        return image.flip(-1) if generator.random() < 0.5 else image

    def _scale(self, pixels: Pixels) -> Any:
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        size = [self._batch.image_px] * 2
        # Without antialiasing a crop that is scaled down shows moire, which the packer took care to avoid.
        return torch.nn.functional.interpolate(image, size=size, mode="bilinear", antialias=True)[0]

    def _labels(self, samples: list[Sample]) -> Any:
        missing = self._batch.batch_size - len(samples)
        labels: list[Any] = [sample.label for sample in samples]
        if self._source.manifest.label_kind == "class":
            return torch.tensor(labels + [0] * missing, dtype=torch.int64)
        if not labels:  # a batch of nothing has the shape of the others
            labels = [next(iter_samples(self._source, self._split, self._read, part=range(1))).label]
            return torch.zeros([missing, len(labels[0])])
        return torch.tensor(labels + [(0.0,) * len(labels[0])] * missing, dtype=torch.float32)


def _same(value: Any) -> Any:
    return value
