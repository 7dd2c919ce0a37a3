"""A Keras model and its optimizer on one rank."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from packer.loading.tf_adapter import import_tensorflow
from packer.trainer.core.feed import Batch
from packer.trainer.core.framework import (
    TOP_K,
    EvaluationSums,
    Layout,
    ModelSpec,
    StepNumbers,
    StepOrder,
    evaluation_sums,
    riders,
)
from packer.trainer.core.recipe import Optimizer, Precision
from packer.trainer.core.state_arrays import read_arrays, write_arrays
from packer.trainer.horovod_ranks import HorovodCollective, step_error
from packer.trainer.keras.keras_models import build_model
from packer.trainer.keras.keras_variables import RandomLayers, plain_variable
from packer.trainer.keras.loss_scale import LossScale
from packer.trainer.keras.running_mean import RunningMean
from packer.trainer.keras.tf_errors import describe_tf_error


class KerasLearner:
    """A Learner. Variables are equal on all ranks: gradients are averaged before the optimizer sees them.

    All variables here are TensorFlow's own, whether Keras 2 or Keras 3 made them.
    """

    def __init__(self, spec: ModelSpec, horovod: HorovodCollective | None) -> None:
        """Build the model. Raises OptionsError if there is no such model."""
        self._tf = import_tensorflow()
        recipe = spec.recipe
        self._recipe, self._horovod = recipe, horovod
        self._tf.keras.utils.set_random_seed(spec.seed)
        self._model = build_model(spec)
        self._trained = [plain_variable(variable) for variable in self._model.trainable_variables]
        self._optimizer = self._build_optimizer()
        self._optimizer.build(self._model.trainable_variables)
        self._chance = RandomLayers(self._model)
        self._scale = LossScale() if recipe.precision is Precision.FP16 else None
        self._mean = RunningMean(self._trained, recipe.ema) if recipe.ema else None
        self._zero = [self._tf.zeros_like(variable) for variable in self._trained]
        self._gradient_step = self._tf.function(self._compute_gradients, jit_compile=recipe.compile or None)
        self._apply_step = self._tf.function(self._apply)
        self._evaluate_step = self._tf.function(self._evaluate_batch)

    def model_parameters(self) -> list[Any]:
        """Return the trainable parameters as NumPy arrays."""
        return [variable.numpy() for variable in self._trained]

    def broadcast(self) -> None:
        if self._horovod is not None:
            with self._horovod.exchanging("the variables of rank 0"):
                self._horovod.hvd.broadcast_variables(self._variables(), root_rank=0)

    def step(self, batches: Sequence[Batch], order: StepOrder) -> _DoneStep:
        self._optimizer.learning_rate.assign(order.learning_rate)
        try:
            gradients, loss = self._zero, self._tf.zeros([])
            for batch, seed in zip(batches, order.seeds, strict=True):
                self._chance.seed(seed)
                own, own_loss = self._gradient_step(
                    self._tf.constant(batch.images), self._tf.constant(batch.labels), float(len(batches))
                )
                gradients = [total + gradient for total, gradient in zip(gradients, own, strict=True)]
                loss += own_loss
            rider = self._tf.stack([loss, *riders(order)])
            return _DoneStep(self._apply_step(gradients, rider).numpy().tolist())
        except self._tf.errors.OpError as error:
            raise step_error(error, describe_tf_error(error), library="TensorFlow") from None

    def evaluate(self, batches: Iterable[Batch]) -> EvaluationSums:
        own = np.zeros(4)
        with self._evaluated():
            for batch in batches:
                arrays = (self._tf.constant(array) for array in (batch.images, batch.labels, batch.weights))
                own += self._evaluate_step(*arrays).numpy()
        return evaluation_sums(own.tolist())

    def average(self) -> None:
        statistics = [
            variable
            for variable in map(plain_variable, self._model.non_trainable_variables)
            if variable.dtype.is_floating
        ]
        if self._horovod is None or not statistics:
            return
        hvd = self._horovod.hvd
        with self._horovod.exchanging("means over all ranks"):
            means = hvd.grouped_allreduce([variable.read_value() for variable in statistics], op=hvd.Average)
        for variable, mean in zip(statistics, means, strict=True):
            variable.assign(mean)

    def save(self) -> bytes:
        return write_arrays([variable.numpy() for variable in self._variables()])

    def load(self, content: bytes) -> None:
        variables = self._variables()
        values = read_arrays(content)
        if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
            raise ValueError("expected the variables of this model and optimizer, found others")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def export(self, folder: str) -> Layout:
        """Write a SavedModel as version 1; its only signature takes `images` and returns `logits`."""
        tf, px = self._tf, self._recipe.image_size

        @tf.function(input_signature=[tf.TensorSpec([None, px, px, 3], tf.uint8, name="images")])  # type: ignore[untyped-decorator]
        def serve(images: Any) -> dict[str, Any]:
            return {"logits": self._model(images, training=False)}

        with self._evaluated():
            tf.saved_model.save(self._model, os.path.join(folder, "1"), signatures=serve)
        return Layout.NHWC

    def _evaluated(self) -> AbstractContextManager[None]:
        return self._mean.in_place() if self._mean else contextlib.nullcontext()

    def _build_optimizer(self) -> Any:
        optimizers, recipe = self._tf.keras.optimizers, self._recipe
        if recipe.optimizer is Optimizer.ADAMW:
            optimizer = optimizers.AdamW(learning_rate=0.0, weight_decay=recipe.weight_decay)
            optimizer.exclude_from_weight_decay(
                var_list=[variable for variable in self._model.trainable_variables if len(variable.shape) < 2]
            )
            return optimizer
        return optimizers.SGD(learning_rate=0.0, momentum=recipe.momentum)

    def _compute_gradients(self, images: Any, labels: Any, num_batches: Any) -> Any:
        """Return this batch's part of the mean gradient (scaled if the loss is scaled) and of the mean loss."""
        with self._tf.GradientTape() as tape:
            logits = self._model(images, training=True)
            loss = self._tf.reduce_mean(self._losses(logits, labels, self._recipe.label_smoothing)) / num_batches
            scaled = loss * self._scale.value if self._scale else loss
        return tape.gradient(scaled, self._trained), loss

    def _apply(self, gradients: Any, rider: Any) -> Any:
        """Average gradients and rider over ranks, take the step and return the mean rider."""
        if self._horovod is not None:
            hvd = self._horovod.hvd
            *gradients, rider = hvd.grouped_allreduce([*gradients, rider], op=hvd.Average)
        if self._scale:
            self._scale.take(gradients, self._apply_gradients)
        else:
            self._apply_gradients(gradients)
        if self._mean:
            self._mean.update()
        return rider

    def _apply_gradients(self, gradients: Any) -> None:
        if self._recipe.optimizer is Optimizer.MOMENTUM and self._recipe.weight_decay:
            gradients = [
                gradient + self._recipe.weight_decay * variable if len(variable.shape) > 1 else gradient
                for gradient, variable in zip(gradients, self._trained, strict=True)
            ]
        self._optimizer.apply_gradients(zip(gradients, self._model.trainable_variables, strict=True))

    def _evaluate_batch(self, images: Any, labels: Any, weights: Any) -> Any:
        tf = self._tf
        logits = self._model(images, training=False)
        hits = [tf.math.in_top_k(labels, logits, k) for k in (1, min(TOP_K, logits.shape[-1]))]
        values = [self._losses(logits, labels, 0.0), *(tf.cast(hit, tf.float32) for hit in hits), tf.ones_like(weights)]
        return tf.stack([tf.reduce_sum(tf.cast(weights * value, tf.float64)) for value in values])

    def _losses(self, logits: Any, labels: Any, smoothing: float) -> Any:
        tf = self._tf
        if not smoothing:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        num_classes = logits.shape[-1]
        target = tf.one_hot(labels, num_classes) * (1 - smoothing) + smoothing / num_classes
        return tf.nn.softmax_cross_entropy_with_logits(labels=target, logits=logits)

    def _variables(self) -> list[Any]:
        """Return the whole state. It holds no random state: random numbers of a step come from the step's seeds."""
        own = self._optimizer.variables
        made_by_keras = [*self._model.variables, *(own() if callable(own) else own)]
        others = [part.variables for part in (self._scale, self._mean) if part]
        return [*map(plain_variable, made_by_keras), *(variable for part in others for variable in part)]


class _DoneStep:
    """A finished step: TensorFlow has run it when `step` returns."""

    def __init__(self, means: list[float]) -> None:
        self._means = means

    def read(self) -> StepNumbers:
        return StepNumbers.of_means(self._means)
