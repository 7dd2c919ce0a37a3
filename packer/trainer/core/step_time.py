"""Times as a user writes them."""

from __future__ import annotations

import re

from packer.errors import OptionsError

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def parse_step_time(text: str) -> float:
    """Return the seconds of a time such as ``64ms``, ``500us`` or ``0.1s``. Raises OptionsError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)(us|ms|s)", text)
    if match is None:
        raise OptionsError(f"expected a time such as 64ms, 500us or 0.1s, got {text!r}", field="simulate_step")
    return float(match[1]) * _UNITS[match[2]]
