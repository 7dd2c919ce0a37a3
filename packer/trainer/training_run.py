"""A whole training run, from the first word between ranks to the metrics file."""

from __future__ import annotations

import os
from collections.abc import Callable

from packer.errors import DataSetError
from packer.reading.tf_data import import_tensorflow
from packer.trainer.collective import Collective, open_collective
from packer.trainer.devices import find_device, pin_gpu
from packer.trainer.loop import Trainer
from packer.trainer.metrics import EpochResult, Evaluation, Metrics, format_epoch, format_evaluation, put_metrics
from packer.trainer.train_options import TrainOptions
from packer.trainer.training_input import Job, agree_on_job
from packer.trainer.world import World

Announce = Callable[[str], None]


def run(options: TrainOptions, world: World, *, announce: Announce, warn: Announce) -> Metrics | Evaluation:
    """Train, or evaluate only, as one rank of `world` and return what was measured; rank 0 writes the metrics file.

    Every rank of the job must call this with the same options.

    Args:
        announce: takes one line of text on rank 0 before the first step, and one on each rank after each epoch.
        warn: takes a line about what is suspicious, on rank 0.

    Raises:
        OptionsError, DataSetError: on every rank before the first step, when one rank cannot start or sees another
            data set than the others; later, on the rank whose shard cannot be read.
        WorkerError: another rank stopped.
        MissingExtraError: TensorFlow, or with several ranks Horovod, is not installed.
    """
    device = find_device(pin_gpu(import_tensorflow(), world), os.environ)
    collective = open_collective(world)
    job = agree_on_job(options, world, collective)
    if world.rank == 0:
        announce(f"rank 0/{world.size} runs on {device.name}")
        if device.warning:
            warn(device.warning)
    metrics = _evaluate(job, collective, announce) if options.evaluate_only else _train(job, collective, announce)
    if options.metrics and world.rank == 0:
        put_metrics(options.metrics, metrics, options.store)
    return metrics


def _train(job: Job, collective: Collective, announce: Announce) -> Metrics:
    options, world = job.options, job.world
    trainer = Trainer(job, collective)
    epochs_done = trainer.start()
    if epochs_done:
        announce(f"rank {world.rank}/{world.size} goes on after epoch {epochs_done}")
    results = []
    for epoch in range(epochs_done, options.epochs):
        results.append(trainer.run_epoch(epoch))
        announce(format_epoch(results[-1], rank=world.rank, world=world.size, epochs=options.epochs))
    if options.export:
        trainer.export(options.export)
    return summarise(job, results)


def _evaluate(job: Job, collective: Collective, announce: Announce) -> Evaluation:
    options, world = job.options, job.world
    trainer = Trainer(job, collective)
    epochs_done = trainer.start()
    if not epochs_done:
        raise DataSetError(f"{options.model_dir}: expected a checkpoint to evaluate, found none; train first")
    result = trainer.evaluate()
    announce(f"rank {world.rank}/{world.size} after epoch {epochs_done} {format_evaluation(result)}")
    return Evaluation(
        manifest_digest=job.source.manifest.digest,
        split=options.eval_split,
        world=world.size,
        batch_size=options.batch_size,
        epochs_done=epochs_done,
        evaluation=result,
    )


def summarise(job: Job, results: list[EpochResult]) -> Metrics:
    """Return the document of a training run."""
    return Metrics(
        manifest_digest=job.source.manifest.digest,
        split=job.options.split,
        records=job.num_records,
        steps_per_epoch=job.steps,
        world=job.world.size,
        batch_size=job.options.batch_size,
        epochs=tuple(results),
    )
