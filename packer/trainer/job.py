"""What a rank is about to train on, settled with all other ranks before the first step."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from packer.errors import DataSetError, PackerError
from packer.reading.dataset import DataSet, open_dataset
from packer.trainer.agreement import RankReport, check_agreement
from packer.trainer.collective import Collective
from packer.trainer.options import TrainOptions
from packer.trainer.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One rank's view of the run; everything but the rank is the same on all."""

    options: TrainOptions
    world: World
    dataset: DataSet
    steps: int
    """Training steps of an epoch."""
    eval_steps: int
    """0 without an evaluation split."""

    @property
    def num_records(self) -> int:
        """Records of the training split over all ranks."""
        return self.dataset.manifest.split(self.options.split).num_records


def load_job(options: TrainOptions, world: World) -> Job:
    """Open the data set, look whether the rank's shards are there and count the steps.

    Raises:
        NotADataSetError: there is no data set.
        DataSetError: a split or shard is missing or empty, or labels are not classes.
        OptionsError: the shards do not divide by the world, or the batch is larger than a rank's share.
    """
    dataset = open_dataset(options.data, options.store)
    if dataset.manifest.label_kind != "class":
        raise DataSetError(f"{options.data}: expected class labels to train on, found {dataset.manifest.label_kind}")
    steps = _count_steps(dataset, options.split, options, world)
    eval_steps = _count_steps(dataset, options.eval_split, options, world) if options.eval_split else 0
    return Job(options=options, world=world, dataset=dataset, steps=steps, eval_steps=eval_steps)


def _count_steps(dataset: DataSet, split: str, options: TrainOptions, world: World) -> int:
    steps = dataset.steps(split, world=world.size, batch_size=options.batch_size)
    dataset.check(split, rank=world.rank, world=world.size)
    return steps


def agree_on_job(options: TrainOptions, world: World, collective: Collective) -> Job:
    """Load the job on every rank and return it if all ranks could and see the same one.

    Raises:
        DataSetError: on every rank, when one cannot read its data set or sees another one.
        OptionsError: on every rank, when one's options are at fault.
    """
    try:
        job = load_job(options, world)
    except PackerError as error:
        check_agreement(collective.allgather(_report_error(world, error)))
        raise
    check_agreement(collective.allgather(report_job(job)))
    return job


def report_job(job: Job) -> RankReport:
    """Return what all ranks must have in common."""
    options = job.options
    facts = {
        "the number of ranks": job.world.size,
        "the data set (digest of manifest.json)": job.dataset.manifest.digest,
        "the training split": options.split,
        "the records of the training split": job.num_records,
        "the steps of an epoch": job.steps,
        "the evaluation split": options.eval_split or "none",
        "the evaluation steps": job.eval_steps,
        "--batch-size": options.batch_size,
        "--epochs": options.epochs,
        "--image-size": options.image_size,
        "--learning-rate": options.learning_rate,
        "--warmup-epochs": options.warmup_epochs,
        "--seed": options.seed,
    }
    return RankReport(
        rank=job.world.rank,
        host=platform.node(),
        facts=tuple((name, str(value)) for name, value in facts.items()),
    )


def _report_error(world: World, error: PackerError) -> RankReport:
    return RankReport(rank=world.rank, host=platform.node(), error=str(error), exit_code=error.exit_code)
