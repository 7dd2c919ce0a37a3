"""Training and evaluation of one rank: exactly the steps that all ranks agreed on, or an error.

The results of a step are read after the next step has started, so the GPU always has work. A step also carries marks
between ranks: a rank was told to end, or rank 0 wants a checkpoint. All ranks therefore act on a mark one step later,
and all of them after the same step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from packer.errors import DataSetError
from packer.trainer.core.checkpoint_keeper import Keeper
from packer.trainer.core.collective import Collective, total
from packer.trainer.core.feed import Batch, Feed
from packer.trainer.core.framework import Learner, PendingStep, StepNumbers, StepOrder
from packer.trainer.core.journal import Journal
from packer.trainer.core.meter import Meter
from packer.trainer.core.metrics import EpochResult, EvaluationResult
from packer.trainer.core.progress_state import TrainingProgress
from packer.trainer.core.schedule import schedule_of
from packer.trainer.core.stopping import Stopper
from packer.trainer.core.training_input import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """The parts that one rank trains with."""

    job: Job
    collective: Collective
    learner: Learner
    feed: Feed
    keeper: Keeper
    journal: Journal
    stopper: Stopper


class TrainingLoop:
    """One training run, from its start or from a checkpoint."""

    def __init__(self, rank: Rank) -> None:
        self._rank, self._job = rank, rank.job
        recipe = rank.job.options.recipe
        self._schedule = schedule_of(recipe, steps_per_epoch=rank.job.steps, world=rank.job.world.size)
        self.progress = TrainingProgress()
        self.repeated_steps = 0
        """Steps of the epoch that were trained before a stop and are trained again."""
        self._pending: PendingStep | None = None

    @property
    def epochs_done(self) -> int:
        """Number of epochs that have been trained completely."""
        return self.progress.epoch + (0 if self._steps_left else 1)

    def resume(self) -> bool:
        """Resume from the newest checkpoint; return False if there is none. Raises as `Keeper.resume`."""
        document = self._rank.keeper.resume(self._rank.collective)
        if document is None:
            return False
        self.progress = document.progress
        is_inside = self._rank.feed.resume(document.loader, document.progress)
        if not (is_inside or document.is_epoch_end or self.progress.is_at_start):
            # The feed starts the epoch again, so its first batches must not count twice.
            self.repeated_steps = self.progress.loss_steps
            self.progress = TrainingProgress(epoch=self.progress.epoch, steps_done=self.progress.steps_done)
        is_evaluated = document.evaluation is not None or not self._job.options.eval_split
        if document.is_epoch_end and is_evaluated:
            self.progress = self.progress.next_epoch()
        return True

    def run_epochs(self) -> Iterator[EpochResult]:
        """Train the epochs that are left, and yield the result of each.

        Raises:
            DataSetError: a shard cannot be read or holds fewer records than the manifest says.
            WorkerError: another rank stopped, or the framework could not run a step.
        """
        while self.progress.epoch < self._job.options.recipe.epochs:
            yield self._run_epoch()

    def evaluate(self) -> EvaluationResult:
        """Return the results over the evaluation split.

        Raises as `run_epochs`, and DataSetError if the ranks together saw more or fewer records than the split has.
        """
        job, rank = self._job, self._rank
        split = job.options.eval_split
        rank.learner.average()
        own = rank.learner.evaluate(rank.feed.evaluation())
        loss, correct, top5, num_records = total(
            rank.collective, [own.loss, own.correct, own.correct_top5, own.records]
        )
        expected = job.source.manifest.split(split).num_records
        if num_records != expected:
            raise DataSetError(
                f"{job.source.uri}: expected {expected:,} records in split {split!r} over all ranks, "
                f"found {num_records:,.0f}; shardpack verify names the damaged shards"
            )
        return EvaluationResult(
            loss=loss / expected,
            accuracy=correct / expected,
            accuracy_top5=top5 / expected,
            records=expected,
            steps=job.eval_steps,
        )

    def _run_epoch(self) -> EpochResult:
        rank, job = self._rank, self._job
        position = self.progress.position
        rank.journal.begin_epoch()
        meter = Meter()
        if rank.keeper.is_keeping:
            with rank.stopper.deferring():
                self._train(meter)
                if self.progress.position > position:
                    self._save(stop=False)
                self._end_if_told(any(rank.collective.allgather(rank.stopper.is_marked)))
        else:
            self._train(meter)
        rates = meter.read()
        done = self.progress
        steps = (done.position - position) // job.global_batch
        self.progress = done.next_epoch()
        result = EpochResult(
            epoch=done.epoch + 1,
            steps=job.steps,
            loss=done.loss_sum / max(1, done.loss_steps),
            learning_rate=done.learning_rate,
            images_per_second=steps * job.global_batch / rates.seconds,
            data_wait_s=rates.data_wait_s,
            evaluation=self._evaluate_epoch(),
        )
        rank.journal.epoch(done, result)
        return result

    def _evaluate_epoch(self) -> EvaluationResult | None:
        if not self._job.options.eval_split:
            return None
        result = self.evaluate()
        self._rank.keeper.put_evaluation(result)
        return result

    def _train(self, meter: Meter) -> None:
        """Run the steps that are left of the epoch."""
        rank, job = self._rank, self._job
        for batches in meter.count_waits(rank.feed.training(self.progress)):
            self._step(batches, meter)
        self._settle(meter)
        if self._steps_left:
            raise DataSetError(f"{job.source.uri}: expected {self._steps_left} more steps of the epoch, found the end")

    def _step(self, batches: tuple[Batch, ...], meter: Meter) -> None:
        rank, job = self._rank, self._job
        steps_in_epoch = self.progress.position / job.global_batch
        rate = self._schedule.rate(self.progress.epoch * job.steps + steps_in_epoch)
        order = StepOrder(
            learning_rate=rate,
            seeds=self._seeds(len(batches)),
            stop=rank.stopper.is_marked,
            save=rank.keeper.wants_save,
        )
        with rank.collective.waiting("a step of the other ranks"):
            pending = rank.learner.step(batches, order)
        before = self._settle(meter)
        self._pending = pending
        self.progress = self.progress.after_step(num_samples=job.global_batch, learning_rate=rate)
        if self._steps_left and (before.stop or before.save or rank.keeper.is_due(self.progress)):
            own = self._settle(meter)
            self._save(stop=before.stop or own.stop)

    def _seeds(self, num_batches: int) -> tuple[int, ...]:
        """Return a seed for each batch of this rank; a batch has the same seed however ranks share the global batch."""
        first = self._job.world.rank * num_batches
        step = self._job.options.seed * 1_000_003 + self.progress.steps_done
        return tuple(step * self._job.world.size * num_batches + first + index for index in range(num_batches))

    def _settle(self, meter: Meter) -> StepNumbers:
        """Wait for the pending step, if there is one, count its loss and return its numbers."""
        if self._pending is None:
            return StepNumbers(loss=0.0, stop=False, save=False)
        pending, self._pending = self._pending, None
        with self._rank.collective.waiting("a step of the other ranks"):
            numbers = pending.read()
        self.progress = self.progress.with_loss(numbers.loss)
        self._rank.journal.step(self.progress, numbers.loss, meter)
        return numbers

    def _save(self, *, stop: bool) -> None:
        """Write a checkpoint after the last step, whose numbers have been read; then end the process if `stop`."""
        rank = self._rank
        started_s = time.perf_counter()
        rank.learner.average()
        num_bytes = rank.keeper.save(self.progress, is_epoch_end=not self._steps_left, loader=rank.feed.state())
        if num_bytes:
            rank.journal.checkpoint(self.progress, state_bytes=num_bytes, seconds=time.perf_counter() - started_s)
        self._end_if_told(stop)

    def _end_if_told(self, stop: bool) -> None:
        if not stop:
            return
        self._rank.collective.allgather("saved")  # when one rank ends, the launcher ends the others: wait for all
        self._rank.journal.close()
        self._rank.stopper.end(
            f"stopped by SIGTERM after step {self.progress.steps_done}, which is saved; the same command goes on there"
        )

    @property
    def _steps_left(self) -> int:
        return (self._job.num_records - self.progress.position) // self._job.global_batch
