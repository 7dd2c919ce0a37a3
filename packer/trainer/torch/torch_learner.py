"""A model of PyTorch and its optimizer on one rank. Importing this module imports PyTorch."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import pickle
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from packer.errors import WorkerError
from packer.trainer.core.collective import lost_rank_error
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
from packer.trainer.core.recipe import Optimizer, Precision, Recipe
from packer.trainer.torch.model_names import make_model
from packer.trainer.torch.torch_library import import_torch
from packer.trainer.torch.torch_ranks import TorchRanks

torch: Any = import_torch()
nn: Any = torch.nn
_Module: Any = nn.Module

NUM_RIDERS = 3
"""The loss and the marks of `riders`."""
_LOST_RANK_TEXTS = ("connection", "gloo", "nccl", "timed out", "peer")
EXPORT_NAME = "model.pt2"
SCRIPT_NAME = "model.torchscript"
STATE_NAME = "model.pt"


class Objective(_Module):  # type: ignore[misc]
    """The loss of a batch, and an extra parameter whose gradient carries numbers between ranks.

    A rank's gradient of `riders` is [loss, *marks]. It is averaged together with the model's gradients, so every rank
    receives the means without a further message.
    """

    def __init__(self, model: Any, label_smoothing: float) -> None:
        super().__init__()
        self.model = model
        self.riders = nn.Parameter(torch.zeros(NUM_RIDERS))
        self._loss = nn.CrossEntropyLoss(label_smoothing=label_smoothing)

    def forward(self, images: Any, labels: Any, marks: Any) -> Any:
        """Return the loss, and the term whose gradient is [loss, *marks]."""
        loss = self._loss(self.model(images).float(), labels)
        said = torch.cat([loss.detach().reshape(1), marks])
        return loss, (self.riders * said).sum()


class TorchLearner:
    """A Learner. Parameters are equal on all ranks: gradients are averaged before the optimizer sees them."""

    def __init__(self, spec: ModelSpec, ranks: TorchRanks, device: Any) -> None:
        """Build the model. Raises OptionsError if there is no such model."""
        recipe = spec.recipe
        self._recipe, self._ranks, self._device = recipe, ranks, device
        torch.manual_seed(spec.seed)
        model = make_model(recipe.model, spec.num_classes).to(device)
        if recipe.channels_last and ranks.takes_any_layout:
            model = model.to(memory_format=torch.channels_last)
        self._model = model
        self._ema = _running_mean(model, recipe.ema) if recipe.ema else None
        self._pixels = Pixels(spec).to(device)
        self._optimizer = build_optimizer(model, recipe)
        self._scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision is Precision.FP16)
        trained = torch.compile(model) if recipe.compile else model
        self._objective = Objective(trained, recipe.label_smoothing).to(device)
        self._wrapped = ranks.wrap(self._objective)

    def model_parameters(self) -> list[Any]:
        """Return the trainable parameters as NumPy arrays."""
        return [parameter.detach().cpu().numpy() for parameter in self._model.parameters() if parameter.requires_grad]

    def broadcast(self) -> None:
        content = self._ranks.broadcast(self.save())
        self.load(content)

    def step(self, batches: Sequence[Batch], order: StepOrder) -> PendingStep:
        self._model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = order.learning_rate
        try:
            for index, batch in enumerate(batches):
                is_last = index == len(batches) - 1
                torch.manual_seed(order.seeds[index])
                with contextlib.nullcontext() if is_last else self._ranks.accumulating(self._wrapped):
                    self._backward(batch, order, len(batches))
            self._ranks.finish_backward()
        except RuntimeError as error:
            raise _step_error(error) from None
        means = self._objective.riders.grad.detach().clone()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._objective.zero_grad(set_to_none=True)
        if self._ema is not None:
            self._ema.update_parameters(self._model)
        return PendingStep(means)

    def evaluate(self, batches: Iterable[Batch]) -> EvaluationSums:
        model = self._evaluated
        model.eval()
        sums = torch.zeros(4, dtype=torch.float64, device=self._device)
        with torch.no_grad():
            for batch in batches:
                images, labels = self._tensors(batch)
                weights = torch.from_numpy(batch.weights).to(self._device)
                with self._autocast():
                    logits = model(images)
                sums += _evaluation_of(logits.float(), labels, weights)
        return evaluation_sums(sums.tolist())

    def average(self) -> None:
        buffers = [buffer for buffer in self._model.buffers() if buffer.is_floating_point()]
        if buffers:
            mean = self._ranks.average(torch.cat([buffer.reshape(-1) for buffer in buffers]))
            for buffer, part in zip(buffers, mean.split([buffer.numel() for buffer in buffers]), strict=True):
                buffer.copy_(part.view_as(buffer))
        if self._ema is not None:
            for own, averaged in zip(self._model.buffers(), self._ema.module.buffers(), strict=True):
                averaged.copy_(own)

    def save(self) -> bytes:
        content = io.BytesIO()
        state = {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "ema": self._ema.state_dict() if self._ema is not None else {},
        }
        torch.save(state, content)
        return content.getvalue()

    def load(self, content: bytes) -> None:
        try:
            state = torch.load(io.BytesIO(content), map_location=self._device, weights_only=True)
            self._model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            if state["scaler"]:
                self._scaler.load_state_dict(state["scaler"])
            if self._ema is not None:
                self._ema.load_state_dict(state["ema"])
        except (RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(str(error).strip().partition("\n")[0] or type(error).__name__) from None

    def export(self, folder: str) -> Layout:
        """Write the parameters as a state dict in ``model.pt``, and the model with its normalisation in two formats.

        ``model.pt2`` is made by torch.export; ``model.torchscript`` is for servers that read only TorchScript. Both
        take uint8 [batch, 3, size, size] in RGB.
        """
        os.makedirs(folder, exist_ok=True)
        model = copy.deepcopy(self._evaluated).eval().to("cpu", memory_format=torch.contiguous_format)
        torch.save(model.state_dict(), os.path.join(folder, STATE_NAME))
        whole = nn.Sequential(copy.deepcopy(self._pixels).to("cpu"), model).eval()
        size = self._recipe.image_size
        example = torch.zeros([2, 3, size, size], dtype=torch.uint8)
        dynamic = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(whole, (example,), dynamic_shapes=dynamic), f"{folder}/{EXPORT_NAME}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch deprecates TorchScript
            torch.jit.trace(whole, example, check_trace=False).save(os.path.join(folder, SCRIPT_NAME))
        return Layout.NCHW

    @property
    def _evaluated(self) -> Any:
        return self._ema.module if self._ema is not None else self._model

    def _backward(self, batch: Batch, order: StepOrder, num_batches: int) -> None:
        images, labels = self._tensors(batch)
        marks = torch.tensor(riders(order), device=self._device)
        with self._autocast():
            loss, said = self._wrapped(images, labels, marks)
        # Riders are not scaled: a scale that is too large must not hide a mark.
        ((self._scaler.scale(loss) + said) / num_batches).backward()

    def _tensors(self, batch: Batch) -> tuple[Any, Any]:
        """Return normalised float32 pictures [batch, 3, height, width] and int64 labels [batch] on the device."""
        images = torch.from_numpy(batch.images).permute(0, 3, 1, 2)
        labels = torch.from_numpy(batch.labels)
        if self._device.type == "cuda":
            images, labels = images.pin_memory(), labels.pin_memory()
        images = self._pixels(images.to(self._device, non_blocking=True))
        if not self._recipe.channels_last:
            images = images.contiguous()
        return images, labels.to(self._device, non_blocking=True)

    def _autocast(self) -> AbstractContextManager[Any]:
        precision = self._recipe.precision
        kind = torch.float16 if precision is Precision.FP16 else torch.bfloat16
        context: AbstractContextManager[Any] = torch.autocast(
            self._device.type, dtype=kind, enabled=precision is not Precision.FP32
        )
        return context


class Pixels(_Module):  # type: ignore[misc]
    """Normalises uint8 pictures [batch, 3, height, width] to float32 of the same shape around 0."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.pixels.mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(spec.pixels.std).clamp(min=1.0).reshape(1, 3, 1, 1))

    def forward(self, images: Any) -> Any:
        return (images.float() - self.mean) / self.std


class PendingStep:
    """A step whose numbers are still being copied from the device."""

    def __init__(self, means: Any) -> None:
        self._event = None
        self._means = means
        if means.is_cuda:
            self._means = torch.empty_like(means, device="cpu", pin_memory=True)
            self._means.copy_(means, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def read(self) -> StepNumbers:
        try:
            if self._event is not None:
                self._event.synchronize()
            return StepNumbers.of_means(self._means.tolist())
        except RuntimeError as error:
            raise _step_error(error) from None


def build_optimizer(model: Any, recipe: Recipe) -> Any:
    """Return the optimizer of a recipe; weight decay applies only to kernels and matrices."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer is Optimizer.ADAMW:
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)


def _running_mean(model: Any, share: float) -> Any:
    utils = torch.optim.swa_utils
    return utils.AveragedModel(model, multi_avg_fn=utils.get_ema_multi_avg_fn(share))


def _evaluation_of(logits: Any, labels: Any, weights: Any) -> Any:
    """Return [loss, correct, correct among the best `TOP_K`, records], each weighted, as float64 [4]."""
    losses = nn.functional.cross_entropy(logits, labels, reduction="none")
    best = logits.topk(min(TOP_K, logits.shape[1]), dim=1).indices == labels[:, None]
    values = torch.stack([losses, best[:, 0].float(), best.any(dim=1).float(), torch.ones_like(losses)])
    return (values.double() * weights.double()).sum(dim=1)


def _step_error(error: Exception) -> WorkerError:
    text = str(error)
    if any(word in text.lower() for word in _LOST_RANK_TEXTS):
        return lost_rank_error(text)
    return WorkerError(f"PyTorch could not run a step: {text.strip().partition(chr(10))[0]}")
