"""A whole training run, from the agreement between ranks to the metrics file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from packer.errors import DataSetError
from packer.trainer.core.checkpoint_keeper import Keeper
from packer.trainer.core.framework import MID_GREY, Framework, Learner, ModelSpec
from packer.trainer.core.journal import Journal
from packer.trainer.core.metrics import EpochResult, Evaluation, Metrics, format_epoch, format_evaluation, put_metrics
from packer.trainer.core.serving_document import put_serving_document
from packer.trainer.core.simulation import SimulatedLearner
from packer.trainer.core.step_time import parse_step_time
from packer.trainer.core.stopping import Stopper
from packer.trainer.core.train_options import TrainOptions
from packer.trainer.core.training_input import Job, agree_on_job
from packer.trainer.core.training_loop import Rank, TrainingLoop
from packer.trainer.core.world import World

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Functions that print lines of text."""

    announce: Announce
    """Prints progress: on rank 0, and on each rank after each epoch."""
    warn: Announce
    """Prints warnings, on rank 0."""


def run(options: TrainOptions, world: World, framework: Framework, stopper: Stopper, voice: Voice) -> None:
    """Train, or evaluate only, as one rank of `world`; rank 0 writes the metrics file.

    Every rank of the job must call this with the same options.

    Raises:
        OptionsError, DataSetError: before the first step on every rank, if one rank cannot start or sees another data
            set; later, only on the rank whose shard cannot be read.
        WorkerError: another rank stopped.
    """
    job = agree_on_job(options, world, framework.collective)
    if world.rank == 0:
        voice.announce(f"rank 0/{world.size} runs on {framework.device.name}")
        if framework.device.warning:
            voice.warn(framework.device.warning)
    trainer = _Training(job, framework, stopper, voice)
    metrics: Metrics | Evaluation = trainer.evaluate() if options.evaluate_only else trainer.train()
    trainer.close()
    if options.metrics and world.rank == 0:
        put_metrics(options.metrics, metrics, options.store)
    framework.collective.close()


class _Training:
    def __init__(self, job: Job, framework: Framework, stopper: Stopper, voice: Voice) -> None:
        self._job, self._framework, self._voice = job, framework, voice
        options, manifest = job.options, job.source.manifest
        if options.simulate_step:
            step_s = parse_step_time(options.simulate_step)
            self._learner: Learner = SimulatedLearner(framework.collective, step_s)
        else:
            self._learner = framework.build(
                ModelSpec(
                    recipe=options.recipe,
                    num_classes=manifest.num_classes,
                    pixels=manifest.pixels or MID_GREY,
                    seed=options.seed,
                )
            )
        self._journal = Journal(job, voice.announce, framework.tracing)
        self._feed = job.feed
        self._loop = TrainingLoop(
            Rank(
                job=job,
                collective=framework.collective,
                learner=self._learner,
                feed=self._feed,
                keeper=Keeper(job, self._learner, framework=framework.name, warn=voice.warn),
                journal=self._journal,
                stopper=stopper,
            )
        )

    def train(self) -> Metrics:
        job, loop, voice = self._job, self._loop, self._voice
        options, world = job.options, job.world
        if loop.resume():
            voice.announce(f"rank {world.rank}/{world.size} goes on after {_describe(loop)}")
            if loop.repeated_steps and world.rank == 0:
                voice.warn(_repetition(loop))
        self._journal.start(framework=self._framework.name, device=self._framework.device.name, progress=loop.progress)
        results = []
        for result in loop.run_epochs():
            results.append(result)
            voice.announce(format_epoch(result, rank=world.rank, world=world.size, epochs=options.recipe.epochs))
        if options.simulate_step:
            voice.announce(f"rank {world.rank}/{world.size} {self._feed.report()}")
        if options.export and world.rank == 0:
            layout = self._learner.export(options.export)
            put_serving_document(options.export, job, framework=self._framework.name, layout=layout)
        return summarise(job, results)

    def evaluate(self) -> Evaluation:
        job, loop = self._job, self._loop
        options, world = job.options, job.world
        if not loop.resume():
            raise DataSetError(
                f"{options.checkpoints.model_dir}: expected a checkpoint to evaluate, found none; train first"
            )
        result = loop.evaluate()
        self._voice.announce(f"rank {world.rank}/{world.size} after {_describe(loop)} {format_evaluation(result)}")
        return Evaluation(
            manifest_digest=job.source.manifest.digest,
            split=options.eval_split,
            world=world.size,
            batch_size=options.recipe.batch_size,
            epochs_done=loop.epochs_done,
            evaluation=result,
        )

    def close(self) -> None:
        self._feed.close()
        self._journal.close()


def _repetition(loop: TrainingLoop) -> str:
    return (
        f"epoch {loop.progress.epoch + 1} begins anew, with {loop.repeated_steps} steps that were trained before the "
        "stop: a Pipe, or shards that each host has its own of, cannot be entered in the middle of an epoch"
    )


def _describe(loop: TrainingLoop) -> str:
    progress = loop.progress
    is_between = progress.is_at_start or loop.epochs_done > progress.epoch
    return f"epoch {loop.epochs_done}" if is_between else f"step {progress.steps_done}"


def summarise(job: Job, results: list[EpochResult]) -> Metrics:
    """Return the metrics document of a training run."""
    return Metrics(
        manifest_digest=job.source.manifest.digest,
        split=job.options.split,
        records=job.num_records,
        steps_per_epoch=job.steps,
        world=job.world.size,
        batch_size=job.options.recipe.batch_size,
        epochs=tuple(results),
    )
