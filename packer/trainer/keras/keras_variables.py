"""Variables of Keras 2 and 3 as TensorFlow's own, and the chance in layers such as Dropout."""

from __future__ import annotations

from typing import Any

_SEED_NAME = "seed_generator_state"
_MAX_SEED = 2**31


def plain_variable(variable: Any) -> Any:
    """Return TensorFlow's variable: what Keras 3 has inside its own, and Keras 2's as it is."""
    value = variable.value
    return variable if callable(value) else value


class RandomLayers:
    """The generators of Keras 3's layers. Seeded before each batch, they make it a function of its seed.

    Keras 2 shows no state of its layers: what they draw depends on the steps since the process began.
    """

    def __init__(self, model: Any) -> None:
        self._states = [
            plain_variable(variable)
            for variable in model.non_trainable_variables
            if getattr(variable, "path", "").endswith(_SEED_NAME)
        ]

    def seed(self, seed: int) -> None:
        """Begin anew from a seed."""
        for number, state in enumerate(self._states):
            state.assign([seed % _MAX_SEED, number])
