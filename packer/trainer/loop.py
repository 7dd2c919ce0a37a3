"""Training and evaluation of one rank: exactly the steps that all ranks agreed on, or an error."""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Iterator
from typing import Any

from packer.errors import DataSetError, PackerError, WorkerError
from packer.reading.read_spec import BatchSpec, ReadSpec
from packer.reading.tf_data import TfDataset, evaluation_batches, import_tensorflow, training_batches
from packer.trainer.checkpoints import Checkpoints
from packer.trainer.collective import Collective, lost_rank_error
from packer.trainer.metrics import EpochResult, EvaluationResult
from packer.trainer.schedule import Schedule
from packer.trainer.small_network import build_model, build_optimizer
from packer.trainer.training_input import Job


class Trainer:
    """A model and its optimizer, equal on all ranks at every step."""

    def __init__(self, job: Job, collective: Collective) -> None:
        self._tf = import_tensorflow()
        self._job, self._collective = job, collective
        options, manifest = job.options, job.source.manifest
        self._tf.keras.utils.set_random_seed(options.seed)
        self._read = ReadSpec(
            rank=job.world.rank, world=job.world.size, seed=options.seed, pipe_timeout_s=options.pipe_timeout
        )
        self._batch = BatchSpec(batch_size=options.batch_size, image_px=options.image_size)
        self._schedule = Schedule(
            base_rate=options.learning_rate,
            world=job.world.size,
            warmup_steps=round(options.warmup_epochs * job.steps),
        )
        self._model = build_model(image_px=options.image_size, num_classes=manifest.num_classes, pixels=manifest.pixels)
        self._optimizer = collective.wrap_optimizer(build_optimizer())
        self._train_step = self._tf.function(self._train_on_batch)
        self._evaluate_step = self._tf.function(self._evaluate_batch)

    def start(self) -> int:
        """Give every rank the weights of rank 0, from its last checkpoint if there is one.

        Returns the number of epochs that the checkpoint has seen, the same on every rank. Raises as
        `Checkpoints.restore`.
        """
        self._create_slots()
        epochs_done = self._checkpoints.restore() if self._keeps_checkpoints else 0
        self._collective.broadcast_variables(self._model.variables)
        self._collective.broadcast_variables(list(self._optimizer.variables()))
        return self._collective.broadcast(epochs_done)

    def run_epoch(self, epoch: int) -> EpochResult:
        """Train one epoch (counted from 0), evaluate, and on rank 0 write a checkpoint.

        Raises:
            DataSetError: a shard cannot be read or holds fewer records than the manifest says.
            WorkerError: another rank stopped, or TensorFlow could not run a step.
        """
        job = self._job
        batches = training_batches(job.source, job.options.split, self._read, self._batch, epoch=epoch)
        loss_sum = self._tf.zeros([])
        rate = 0.0
        started_s = time.perf_counter()
        for step, (images, labels, _) in enumerate(self._read_batches(batches, job.options.split, job.steps)):
            rate = self._schedule.rate(epoch * job.steps + step)
            self._optimizer.learning_rate.assign(rate)
            loss_sum += self._run(self._train_step, images, labels)
        (loss_total,) = self._collective.total([float(loss_sum)])
        elapsed_s = time.perf_counter() - started_s
        result = EpochResult(
            epoch=epoch + 1,
            steps=job.steps,
            loss=loss_total / (job.steps * job.world.size),
            learning_rate=rate,
            images_per_second=job.steps * job.options.batch_size * job.world.size / elapsed_s,
            evaluation=self.evaluate() if job.options.eval_split else None,
        )
        if self._keeps_checkpoints:
            self._checkpoints.save(epoch + 1)
        return result

    def evaluate(self) -> EvaluationResult:
        """Return the results over the evaluation split. Raises as `run_epoch`, also where records are missing."""
        job = self._job
        split = job.options.eval_split
        batches = evaluation_batches(job.source, split, self._read, self._batch)
        own = self._tf.zeros([3], self._tf.float64)
        for images, labels, weights in self._read_batches(batches, split, job.eval_steps):
            own += self._run(self._evaluate_step, images, labels, weights)
        loss, correct, num_records = self._collective.total(own.numpy().tolist())
        expected = job.source.manifest.split(split).num_records
        if num_records != expected:
            raise DataSetError(
                f"{job.source.uri}: expected {expected:,} records in split {split!r} over all ranks, "
                f"found {num_records:,.0f}; shardpack verify names the damaged shards"
            )
        return EvaluationResult(
            loss=loss / num_records, accuracy=correct / num_records, records=expected, steps=job.eval_steps
        )

    def export(self, folder: str) -> None:
        """Write the model on rank 0 as version 1 of a SavedModel, from uint8 images to logits. Raises OSError."""
        if self._job.world.rank == 0:
            self._tf.saved_model.save(self._model, os.path.join(folder, "1"))

    def _read_batches(self, batches: TfDataset, split: str, steps: int) -> Iterator[tuple[Any, Any, Any]]:
        """Yield `steps` batches and read on to the end. Raises DataSetError where the shards yield more or fewer."""
        iterator = iter(batches)
        for step in range(steps):
            try:
                batch = next(iterator)
            except (StopIteration, self._tf.errors.OpError) as error:
                raise self._read_error(split, f"batch {step + 1} of {steps}", error) from None
            yield batch
        try:
            next(iterator, None)
        except self._tf.errors.OpError as error:
            raise self._read_error(split, f"the end after batch {steps}", error) from None

    def _read_error(self, split: str, what: str, error: Exception) -> DataSetError:
        said = describe_tf_error(error)
        remedy = "" if DataSetError.__name__ in said else "; shardpack verify names damaged shards"
        return DataSetError(
            f"{self._job.source.uri}: split {split!r}: rank {self._job.world.rank} cannot read {what}: {said}{remedy}"
        )

    def _run(self, step: Any, *tensors: Any) -> Any:
        try:
            with self._collective.waiting("a step of the other ranks"):
                return step(*tensors)
        except self._tf.errors.OpError as error:
            raise self._step_error(error) from None

    def _step_error(self, error: Exception) -> PackerError:
        if "Horovod" in str(error):
            return lost_rank_error(describe_tf_error(error))
        return WorkerError(f"rank {self._job.world.rank}: TensorFlow could not run a step: {describe_tf_error(error)}")

    def _train_on_batch(self, images: Any, labels: Any) -> Any:
        with self._tf.GradientTape() as tape:
            logits = self._model(images, training=True)
            loss = self._tf.reduce_mean(self._losses(logits, labels))
        # Horovod averages gradients in `minimize`; its `apply_gradients` would take them as they are.
        self._optimizer.minimize(loss, self._model.trainable_variables, tape=tape)
        return loss

    def _evaluate_batch(self, images: Any, labels: Any, weights: Any) -> Any:
        tf = self._tf
        logits = self._model(images, training=False)
        correct = tf.cast(tf.argmax(logits, axis=1) == labels, tf.float32)
        sums = [tf.reduce_sum(weights * self._losses(logits, labels)), tf.reduce_sum(weights * correct)]
        return tf.cast(tf.stack([*sums, tf.reduce_sum(weights)]), tf.float64)

    def _losses(self, logits: Any, labels: Any) -> Any:
        return self._tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)

    def _create_slots(self) -> None:
        """Make the optimizer's variables now, by a step of zero gradients, so that they can be restored and sent."""
        self._optimizer.apply_gradients(
            [(self._tf.zeros_like(variable), variable) for variable in self._model.trainable_variables]
        )
        self._optimizer.iterations.assign(0)

    @property
    def _keeps_checkpoints(self) -> bool:
        return bool(self._job.options.model_dir) and self._job.world.rank == 0

    @functools.cached_property
    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(
            self._job.options.model_dir,
            model=self._model,
            optimizer=self._optimizer,
            digest=self._job.source.manifest.digest,
        )


_EMPTY_PHRASES = ("Graph execution error", "Detected at node")


def describe_tf_error(error: Exception) -> str:
    """Return the first line of a TensorFlow error that says something, without node names."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]|\[\[.*?\]\]|\bname: ?$", "", str(error), flags=re.MULTILINE)
    lines = (line.strip() for line in text.splitlines())
    said = (line for line in lines if line and not line.startswith(_EMPTY_PHRASES))
    return next(said, type(error).__name__)
