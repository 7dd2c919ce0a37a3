"""Loss scaling for float16, in which small gradients would become 0; the same for Keras 2 and 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from packer.loading.tf_adapter import import_tensorflow

FIRST_SCALE = 2.0**16
GROWTH_STEPS = 2000
"""Steps in a row with finite gradients, after which the scale doubles."""


class LossScale:
    """The factor of the loss. If gradients overflow, the step is skipped and the factor halved.

    Gradients are means over all ranks, so every rank decides the same.
    """

    def __init__(self) -> None:
        self._tf = import_tensorflow()
        self.value: Any = self._tf.Variable(FIRST_SCALE, trainable=False)
        self._good_steps: Any = self._tf.Variable(0, trainable=False)

    @property
    def variables(self) -> list[Any]:
        """The variables that belong to a checkpoint."""
        return [self.value, self._good_steps]

    def take(self, gradients: Sequence[Any], apply: Callable[[list[Any]], None]) -> None:
        """Divide the gradients by the factor and apply them, if all of them are finite."""
        tf = self._tf
        is_finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        own = [gradient / self.value for gradient in gradients]
        tf.cond(is_finite, lambda: self._go_on(own, apply), self._pass_over)

    def _go_on(self, gradients: list[Any], apply: Callable[[list[Any]], None]) -> Any:
        apply(gradients)
        is_time = self._good_steps.assign_add(1) >= GROWTH_STEPS
        self.value.assign(self._tf.where(is_time, self.value * 2, self.value))
        self._good_steps.assign(self._tf.where(is_time, 0, self._good_steps))
        return True

    def _pass_over(self) -> Any:
        self.value.assign(self._tf.maximum(self.value / 2, 1.0))
        self._good_steps.assign(0)
        return False
