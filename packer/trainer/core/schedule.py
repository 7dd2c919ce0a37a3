"""The learning rate of each step: pure arithmetic.

The gradient of a step is the mean over the global batch, so the full rate is proportional to the size of that batch.
The first steps would diverge at the full rate, so the rate rises to it linearly over the warm-up (P. Goyal and others,
"Accurate, Large Minibatch SGD", arXiv:1706.02677, sections 2.1 and 2.2). After the warm-up it stays constant or falls.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

from packer.trainer.core.recipe import Decay, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A linear warm-up from one rate to another, then constant or falling."""

    base_rate: float
    """Learning rate of the first step of a warm-up."""
    full_rate: float
    """Learning rate after the warm-up."""
    warmup_steps: int = 0
    total_steps: int = 0
    """Steps of the whole training, for `Decay.COSINE`."""
    decay: Decay = Decay.CONSTANT
    decay_steps: tuple[int, ...] = ()
    """For `Decay.STEP`: from each of these steps on, the rate is multiplied by `decay_factor` once more; ascending."""
    decay_factor: float = 1.0

    def rate(self, step: float) -> float:
        """Return the rate of a step, counted from 0 over all epochs. The first step after the warm-up has `full_rate`.

        `step` may be a fraction: a run that resumes with another global batch may be between two steps.
        """
        if step < self.warmup_steps:
            return self.base_rate + (self.full_rate - self.base_rate) * step / self.warmup_steps
        if self.decay is Decay.STEP:
            return self.full_rate * self.decay_factor ** bisect.bisect_right(self.decay_steps, step)
        if self.decay is Decay.COSINE:
            share = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
            return self.full_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        return self.full_rate


def schedule_of(recipe: Recipe, *, steps_per_epoch: int, world: int) -> Schedule:
    """Return the learning rates of a training on `world` ranks.

    The recipe's rate is meant for `rate_batch` samples a step (one rank's batch if 0). The warm-up starts at that rate,
    or at the full rate if that is lower.
    """
    global_batch = recipe.batch_size * recipe.accumulation * world
    full_rate = recipe.learning_rate * global_batch / (recipe.rate_batch or recipe.batch_size)
    return Schedule(
        base_rate=min(recipe.learning_rate, full_rate),
        full_rate=full_rate,
        warmup_steps=round(recipe.warmup_epochs * steps_per_epoch),
        total_steps=recipe.epochs * steps_per_epoch,
        decay=recipe.decay,
        decay_steps=tuple(epoch * steps_per_epoch for epoch in recipe.decay_epochs),
        decay_factor=recipe.decay_factor,
    )
