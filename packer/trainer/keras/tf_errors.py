"""Errors of TensorFlow in one line."""

from __future__ import annotations

import re

_EMPTY_PHRASES = ("Graph execution error", "Detected at node")


def describe_tf_error(error: Exception) -> str:
    """Return the first informative line of a TensorFlow error, without node names."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]|\[\[.*?\]\]|\bname: ?$", "", str(error), flags=re.MULTILINE)
    lines = (line.strip() for line in text.splitlines())
    said = (line for line in lines if line and not line.startswith(_EMPTY_PHRASES))
    return next(said, type(error).__name__)
