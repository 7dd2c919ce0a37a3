"""How far a training has come: a value that a checkpoint holds."""

from __future__ import annotations

import msgspec


class TrainingProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Between two steps."""

    epoch: int = 0
    """Counted from 0: the one that is being trained, or begins."""
    position: int = 0
    """Samples of the epoch that all ranks have taken together."""
    steps_done: int = 0
    """Of the whole training."""
    loss_sum: float = 0.0
    """Of the epoch's steps so far, of which each is the mean over its global batch."""
    loss_steps: int = 0
    learning_rate: float = 0.0
    """Of the last step."""

    @property
    def is_at_start(self) -> bool:
        """Nothing of the epoch has been trained."""
        return self.position == 0

    def after_step(self, *, num_samples: int, learning_rate: float) -> TrainingProgress:
        """Return the progress after a step over `num_samples` of all ranks, whose loss is not known yet."""
        return msgspec.structs.replace(
            self,
            position=self.position + num_samples,
            steps_done=self.steps_done + 1,
            learning_rate=learning_rate,
        )

    def with_loss(self, loss: float) -> TrainingProgress:
        """Return the progress with the loss of a step that was counted before."""
        return msgspec.structs.replace(self, loss_sum=self.loss_sum + loss, loss_steps=self.loss_steps + 1)

    def next_epoch(self) -> TrainingProgress:
        """Return the progress at the start of the next epoch."""
        return TrainingProgress(epoch=self.epoch + 1, steps_done=self.steps_done)
