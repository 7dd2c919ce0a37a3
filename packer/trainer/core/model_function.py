"""Models that a user has written, named as module:function."""

from __future__ import annotations

import importlib
from typing import Any

from packer.errors import OptionsError


def is_function_name(name: str) -> bool:
    """Say whether a model's name has the form module:function."""
    return ":" in name


def call_model_function(name: str, num_classes: int) -> Any:
    """Import ``module:function``, call it with the number of classes and return its model.

    Raises:
        OptionsError: the function cannot be imported.
    """
    module, _, function = name.partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionsError(
            f"expected module:function that can be imported, got {name!r} ({error})", field="model"
        ) from None
    return make(num_classes)
