"""PyTorch itself, imported where training with it begins."""

from __future__ import annotations

from typing import Any

from packer.extras import require_extra


def import_torch() -> Any:
    """Return PyTorch. Raises MissingExtraError where it is not installed."""
    return require_extra("torch", "torch", purpose="training with PyTorch")
