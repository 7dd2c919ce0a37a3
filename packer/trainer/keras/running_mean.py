"""A running mean of a model's parameters; evaluation and export use it instead of the parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from packer.loading.tf_adapter import import_tensorflow


class RunningMean:
    """A running mean that starts as the parameters after the first step."""

    def __init__(self, variables: Sequence[Any], share: float) -> None:
        """Args: share: weight of the old mean in an update, in [0, 1)."""
        self._tf = import_tensorflow()
        self._own, self._share = list(variables), share
        self._means = [self._tf.Variable(variable, trainable=False) for variable in variables]
        self._steps: Any = self._tf.Variable(0, trainable=False)

    @property
    def variables(self) -> list[Any]:
        """The variables that belong to a checkpoint."""
        return [*self._means, self._steps]

    def update(self) -> None:
        """Update the mean with the current parameters."""
        share = self._tf.where(self._steps > 0, self._share, 0.0)
        for mean, own in zip(self._means, self._own, strict=True):
            mean.assign(share * mean + (1 - share) * own)
        self._steps.assign_add(1)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """In the body, the model's parameters are the means."""
        kept = [own.numpy() for own in self._own]
        for mean, own in zip(self._means, self._own, strict=True):
            own.assign(mean)
        try:
            yield
        finally:
            for own, value in zip(self._own, kept, strict=True):
                own.assign(value)
