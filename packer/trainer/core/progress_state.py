"""The progress of a training, as a value that a checkpoint stores."""

from __future__ import annotations

import msgspec


class TrainingProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of a training between two steps."""

    epoch: int = 0
    """The current epoch, counted from 0."""
    position: int = 0
    """Samples of the epoch that all ranks together have taken."""
    steps_done: int = 0
    """Steps of the whole training so far."""
    loss_sum: float = 0.0
    """Sum of the losses of `loss_steps` steps of the epoch; each loss is the mean over its global batch."""
    loss_steps: int = 0
    learning_rate: float = 0.0
    """Learning rate of the last step."""

    @property
    def is_at_start(self) -> bool:
        """No step of the epoch has been trained."""
        return self.position == 0

    def after_step(self, *, num_samples: int, learning_rate: float) -> TrainingProgress:
        """Return the progress after a step over `num_samples` samples of all ranks. `with_loss` adds its loss later."""
        return msgspec.structs.replace(
            self,
            position=self.position + num_samples,
            steps_done=self.steps_done + 1,
            learning_rate=learning_rate,
        )

    def with_loss(self, loss: float) -> TrainingProgress:
        """Return the progress with the loss of a step that `after_step` has counted."""
        return msgspec.structs.replace(self, loss_sum=self.loss_sum + loss, loss_steps=self.loss_steps + 1)

    def next_epoch(self) -> TrainingProgress:
        """Return the progress at the start of the next epoch."""
        return TrainingProgress(epoch=self.epoch + 1, steps_done=self.steps_done)
