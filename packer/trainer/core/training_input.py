"""The input of a training run, on which all ranks agree before the first step."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from packer.channels.jobfiles import BASE_DIR_VARIABLE, is_training_container
from packer.errors import DataSetError, OptionsError, PackerError
from packer.reading.dataset import open_dataset
from packer.reading.job_channels import open_channels
from packer.reading.source import RecordSource, Share
from packer.trainer.core.agreement import RankReport, check_agreement
from packer.trainer.core.collective import Collective
from packer.trainer.core.feed import Feed
from packer.trainer.core.recipe import Recipe
from packer.trainer.core.train_options import TrainOptions
from packer.trainer.core.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One rank's view of the run. All ranks agree on the options and the numbers of steps."""

    options: TrainOptions
    world: World
    source: RecordSource
    steps: int
    """Training steps of an epoch; 0 if the run only evaluates."""
    eval_steps: int
    """Evaluation batches of each rank; 0 without an evaluation split."""
    shares: tuple[Share, ...]
    """This rank's share of each split."""
    feed: Feed
    """Source of the batches."""

    @property
    def global_batch(self) -> int:
        """Samples of one step over all ranks."""
        recipe = self.options.recipe
        return recipe.batch_size * recipe.accumulation * self.world.size

    @property
    def num_records(self) -> int:
        """Records of the training split over all ranks."""
        return self.source.manifest.split(self.options.split).num_records


def load_job(options: TrainOptions, world: World) -> Job:
    """Open the data set, check that the rank's shards exist and count the steps.

    Raises:
        NotADataSetError: there is no data set.
        DataSetError: a split, channel or shard is missing or empty, or labels are not classes.
        OptionsError: the batch is larger than a rank's share, or a job's shards do not divide by its ranks.
    """
    source = open_source(options, world)
    if source.manifest.label_kind != "class":
        raise DataSetError(f"{source.uri}: expected class labels to train on, found {source.manifest.label_kind}")
    if options.data:  # any number of ranks shares all shards
        shares = tuple(source.check(split, rank=0, world=1) for split in options.splits)
    else:
        shares = tuple(source.check(split, rank=world.rank, world=world.size) for split in options.splits)
    from packer.trainer.core.loader_feed import LoaderFeed  # loads the decoders' libraries

    is_stream = any(share.is_stream for share in shares if share.split == options.split)
    feed = LoaderFeed(options, world, is_stream=is_stream)
    return Job(
        options=options,
        world=world,
        source=source,
        steps=feed.steps,
        eval_steps=feed.eval_steps,
        shares=shares,
        feed=feed,
    )


def open_source(options: TrainOptions, world: World) -> RecordSource:
    """Open the data set that `data` names, or the channels of the job that this process is part of.

    Raises:
        NotADataSetError, DataSetError: as `open_dataset` and `open_channels`.
        OptionsError: there is no `data` and no job, or the job has a Pipe channel that no split reads.
    """
    if options.data:
        return open_dataset(options.data, options.store)
    if not is_training_container(options.base_dir):
        raise OptionsError(
            f"expected the path or URI of a finished data set, got none, and found no channels of a SageMaker "
            f"job under {options.base_dir} ({BASE_DIR_VARIABLE} names another folder)",
            field="data",
        )
    source = open_channels(options.base_dir, world.place, manifest_uri=options.manifest, store=options.store)
    source.check_all_pipes_are_read(options.splits)
    return source


def agree_on_job(options: TrainOptions, world: World, collective: Collective) -> Job:
    """Load the job on every rank and check that all ranks see the same job.

    Raises:
        DataSetError: on every rank, if one rank cannot read its data set or sees another one.
        OptionsError: on every rank, if the options of one rank are at fault.
    """
    try:
        job = load_job(options, world)
    except PackerError as error:
        check_agreement(collective.allgather(_report_error(world, error)))
        raise
    reports = collective.allgather(report_job(job))
    check_agreement(reports)
    shares = [share for report in reports for share in report.shares if share.split == options.split]
    job.feed.know_shares([share.own_shards for share in shares if share.own_shards])
    return job


def report_job(job: Job) -> RankReport:
    """Return this rank's report: the facts that must be the same on all ranks, and its shares."""
    options = job.options
    facts = {
        "the number of ranks": job.world.size,
        "the ranks of each host": job.world.local_size,
        "the data set (digest of manifest.json)": job.source.manifest.digest,
        "what to do": "evaluate" if options.evaluate_only else "train",
        "the training split": options.split,
        "the steps of an epoch": job.steps,
        "the evaluation split": options.eval_split or "none",
        "the evaluation steps": job.eval_steps,
        "the decoder of images": job.feed.decoder_id,
        **{f"how split {share.split!r} is read": share.delivery for share in job.shares},
        **{f"`{name}`": getattr(options.recipe, name) for name in Recipe.__struct_fields__},
        "`checkpoint_steps`": options.checkpoints.checkpoint_steps,
        "`seed`": options.seed,
    }
    return RankReport(
        rank=job.world.rank,
        host=job.shares[0].host or platform.node(),
        facts=tuple((name, str(value)) for name, value in facts.items()),
        shares=job.shares,
    )


def _report_error(world: World, error: PackerError) -> RankReport:
    return RankReport(rank=world.rank, host=platform.node(), error=str(error), exit_code=error.exit_code)
