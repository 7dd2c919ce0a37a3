"""Training without a model: each step only waits, which shows whether loading keeps up."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from packer.errors import OptionsError
from packer.trainer.core.collective import Collective
from packer.trainer.core.feed import Batch
from packer.trainer.core.framework import EvaluationSums, Layout, StepNumbers, StepOrder


class SimulatedLearner:
    """A Learner whose steps each last `step_s` seconds; ranks wait for each other as in real steps."""

    def __init__(self, collective: Collective, step_s: float) -> None:
        self._collective, self._step_s = collective, step_s

    def broadcast(self) -> None:
        return

    def step(self, batches: Sequence[Batch], order: StepOrder) -> _SimulatedStep:
        time.sleep(self._step_s)
        marks = self._collective.allgather((order.stop, order.save))
        return _SimulatedStep(stop=any(stop for stop, _ in marks), save=any(save for _, save in marks))

    def evaluate(self, batches: Iterable[Batch]) -> EvaluationSums:
        """Take the time of a step for each batch, and count the records."""
        records = 0.0
        for batch in batches:
            time.sleep(self._step_s)
            records += float(batch.weights.sum())
        return EvaluationSums(loss=0.0, correct=0.0, correct_top5=0.0, records=records)

    def average(self) -> None:
        return

    def save(self) -> bytes:
        return b""

    def load(self, content: bytes) -> None:
        return

    def export(self, folder: str) -> Layout:
        raise OptionsError("expected a model, got `simulate_step`", field="export")


class _SimulatedStep:
    def __init__(self, *, stop: bool, save: bool) -> None:
        self._numbers = StepNumbers(loss=0.0, stop=stop, save=save)

    def read(self) -> StepNumbers:
        return self._numbers
