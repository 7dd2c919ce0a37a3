"""Texts from the command line, taken as they are.

Typer makes a validator of pydantic for each parameter of a command, also for those that were not given. Importing
pydantic and making them takes longer than all other imports of a command; texts and absent values need none.
"""

from __future__ import annotations

from typing import Any


def skip_coercion(parameter: Any) -> None:
    """Have a parameter of a command take its text as it is; absent ones stay None. Other kinds are left to Typer."""
    if "process_value" in vars(parameter):  # it does so already
        return
    coerce = parameter.process_value
    is_text = parameter.type_descriptor.annotation is str

    def process_value(ctx: Any, value: Any) -> Any:
        is_plain = (value is None and not parameter.required) or (is_text and isinstance(value, str))
        if not is_plain:
            return coerce(ctx, value)
        return value if parameter.callback is None else parameter.callback(ctx, parameter, value)

    parameter.process_value = process_value
