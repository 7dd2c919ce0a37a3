"""Optional libraries: imported where they are used, with the pip command when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from packer.errors import MissingExtraError


def require_extra(extra: str, module: str) -> Any:
    """Import and return `module`, which `pip install 'shardpack[extra]'` brings. Raises MissingExtraError."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"this needs {module}, which is not installed ({error}): pip install 'shardpack[{extra}]'"
        ) from None
