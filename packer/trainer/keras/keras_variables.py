"""Variables of Keras 2 and 3 as TensorFlow variables, and seeds of random layers such as Dropout."""

from __future__ import annotations

from typing import Any

_SEED_NAME = "seed_generator_state"
_MAX_SEED = 2**31


def plain_variable(variable: Any) -> Any:
    """Return the TensorFlow variable: the one inside a Keras 3 variable, or a Keras 2 variable itself."""
    value = variable.value
    return variable if callable(value) else value


class RandomLayers:
    """The random generators of Keras 3's layers. Seeding them before each batch makes its result repeatable.

    Keras 2 does not expose the state of its layers: its random numbers depend on the steps since the process started.
    """

    def __init__(self, model: Any) -> None:
        self._states = [
            plain_variable(variable)
            for variable in model.non_trainable_variables
            if getattr(variable, "path", "").endswith(_SEED_NAME)
        ]

    def seed(self, seed: int) -> None:
        """Restart all generators from a seed."""
        for number, state in enumerate(self._states):
            state.assign([seed % _MAX_SEED, number])
