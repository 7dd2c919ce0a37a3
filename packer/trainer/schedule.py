"""The learning rate of each step: pure arithmetic.

The gradient of a step is the mean over `world` batches, so the rate is scaled by the number of ranks. At once that
would throw the first steps off, so it climbs there in a straight line over the warm-up.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A linear warm-up from the rate of one rank to that of all, then constant."""

    base_rate: float
    """Learning rate that suits one rank's batch."""
    world: int
    warmup_steps: int

    def rate(self, step: int) -> float:
        """Return the rate of a step, counted from 0 over all epochs; the first after the warm-up has the full one."""
        full = self.base_rate * self.world
        if step >= self.warmup_steps:
            return full
        return self.base_rate + (full - self.base_rate) * step / self.warmup_steps
