"""A model of Gluon and its optimizer on one rank. Importing this module imports MXNet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from packer.errors import PackerError
from packer.loading.mxnet_adapter import import_mxnet
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
from packer.trainer.core.state_arrays import read_arrays, write_arrays
from packer.trainer.horovod_ranks import HorovodCollective, step_error
from packer.trainer.mxnet.gluon_models import build_model

mxnet: Any = import_mxnet()

EXPORT_NAME = "model"
_MAX_SEED = 2**31


class GluonLearner:
    """A Learner. Parameters are equal on all ranks: gradients are averaged before the optimizer sees them."""

    def __init__(self, spec: ModelSpec, horovod: HorovodCollective | None, context: Any) -> None:
        """Build the model. Raises OptionsError if there is no such model."""
        mxnet.random.seed(spec.seed)
        self._recipe, self._horovod, self._context = spec.recipe, horovod, context
        self._model = build_model(spec, context)
        parameters = list(self._model.collect_params().values())
        self._trained = [parameter for parameter in parameters if parameter.grad_req != "null"]
        self._constants = [parameter for parameter in parameters if isinstance(parameter, mxnet.gluon.Constant)]
        known = {*map(id, self._trained), *map(id, self._constants)}
        self._statistics = [parameter for parameter in parameters if id(parameter) not in known]
        self._momenta = [mxnet.nd.zeros_like(parameter.data()) for parameter in self._trained]

    def model_parameters(self) -> list[Any]:
        """Return the trainable parameters as NumPy arrays."""
        return [parameter.data().asnumpy() for parameter in self._trained]

    def broadcast(self) -> None:
        if self._horovod is not None:
            with self._horovod.exchanging("the parameters of rank 0"):
                for index, array in enumerate(self._state()):
                    self._horovod.hvd.broadcast_(array, root_rank=0, name=f"shardpack.state.{index}")
                mxnet.nd.waitall()

    def step(self, batches: Sequence[Batch], order: StepOrder) -> _RunningStep:
        gradients: list[Any] = []
        try:
            loss = mxnet.nd.zeros((1,), ctx=self._context)
            for batch, seed in zip(batches, order.seeds, strict=True):
                mxnet.random.seed(seed % _MAX_SEED)
                images, labels = self._arrays(batch)
                with mxnet.autograd.record():
                    own = self._losses(self._model(images), labels, self._recipe.label_smoothing).mean() / len(batches)
                own.backward()
                gradients = self._add_gradients(gradients)
                loss += own.detach()
            said = mxnet.nd.concat(loss, mxnet.nd.array(riders(order), ctx=self._context), dim=0)
            if self._horovod is not None:
                hvd = self._horovod.hvd
                hvd.grouped_allreduce_([*gradients, said], op=hvd.Average, name="shardpack.step")
            self._take(gradients, order.learning_rate)
            return _RunningStep(said)
        except mxnet.base.MXNetError as error:
            raise _step_error(error) from None

    def evaluate(self, batches: Iterable[Batch]) -> EvaluationSums:
        sums = np.zeros(4)
        for batch in batches:
            images, labels = self._arrays(batch)
            logits = self._model(images)
            losses = self._losses(logits, labels, 0.0).asnumpy()
            best = logits.topk(k=min(TOP_K, logits.shape[1]), dtype="int64").asnumpy() == batch.labels[:, None]
            values = (losses, best[:, 0], best.any(axis=1), np.ones_like(losses))
            sums += [float((value.astype(np.float64) * batch.weights).sum()) for value in values]
        return evaluation_sums(sums.tolist())

    def average(self) -> None:
        if self._horovod is None or not self._statistics:
            return
        hvd = self._horovod.hvd
        with self._horovod.exchanging("means over all ranks"):
            arrays = [parameter.data() for parameter in self._statistics]
            hvd.grouped_allreduce_(arrays, op=hvd.Average, name="shardpack.statistics")
            mxnet.nd.waitall()

    def save(self) -> bytes:
        return write_arrays([array.asnumpy() for array in self._state()])

    def load(self, content: bytes) -> None:
        arrays, values = self._state(), read_arrays(content)
        if [value.shape for value in values] != [array.shape for array in arrays]:
            raise ValueError("expected the parameters of this model and optimizer, found others")
        for array, value in zip(arrays, values, strict=True):
            mxnet.nd.array(value, dtype=array.dtype).copyto(array)

    def export(self, folder: str) -> Layout:
        """Write ``model-symbol.json`` and ``model-0000.params``, from uint8 [batch, px, px, 3] in RGB to logits."""
        os.makedirs(folder, exist_ok=True)
        self._model.export(os.path.join(folder, EXPORT_NAME))
        return Layout.NHWC

    def _add_gradients(self, gradients: Sequence[Any]) -> list[Any]:
        """Return the sums of the gradients so far and those of the last batch. Arguments are not changed."""
        own = [parameter.grad() for parameter in self._trained]
        if not gradients:
            return [gradient.copy() for gradient in own]
        return [total + gradient for total, gradient in zip(gradients, own, strict=True)]

    def _state(self) -> list[Any]:
        return [*(parameter.data() for parameter in (*self._trained, *self._statistics)), *self._momenta]

    def _arrays(self, batch: Batch) -> tuple[Any, Any]:
        images = mxnet.nd.array(batch.images, dtype="uint8", ctx=self._context)
        return images, mxnet.nd.array(batch.labels, dtype="int32", ctx=self._context)

    def _take(self, gradients: Sequence[Any], learning_rate: float) -> None:
        recipe = self._recipe
        for parameter, gradient, momentum in zip(self._trained, gradients, self._momenta, strict=True):
            weight = parameter.data()
            decay = recipe.weight_decay if weight.ndim > 1 else 0.0
            mxnet.nd.sgd_mom_update(
                weight, gradient, momentum, out=weight, lr=learning_rate, momentum=recipe.momentum, wd=decay
            )

    def _losses(self, logits: Any, labels: Any, smoothing: float) -> Any:
        scores = mxnet.nd.log_softmax(logits, axis=1)
        losses = -mxnet.nd.pick(scores, labels, axis=1)
        return (1 - smoothing) * losses - smoothing * scores.mean(axis=1) if smoothing else losses


class _RunningStep:
    """A step that MXNet runs while Python goes on."""

    def __init__(self, means: Any) -> None:
        self._means = means

    def read(self) -> StepNumbers:
        try:
            return StepNumbers.of_means(self._means.asnumpy().tolist())
        except mxnet.base.MXNetError as error:
            raise _step_error(error) from None


def _step_error(error: Exception) -> PackerError:
    return step_error(error, str(error).strip().splitlines()[-1], library="MXNet")
