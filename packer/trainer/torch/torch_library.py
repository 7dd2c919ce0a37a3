"""The import of PyTorch, done only when training with PyTorch starts."""

from __future__ import annotations

from typing import Any

from packer.extras import require_extra


def import_torch() -> Any:
    """Import and return PyTorch. Raises MissingExtraError if it is not installed."""
    return require_extra("torch", "torch", purpose="training with PyTorch")
