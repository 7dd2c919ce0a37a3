"""Optional libraries: imported where they are used, never with `import packer`."""

from __future__ import annotations

import importlib
from types import ModuleType

from packer.errors import MissingExtraError


def require_extra(module: str, extra: str, *, purpose: str) -> ModuleType:
    """Import and return an optional module.

    Args:
        module: dotted name, such as ``horovod.tensorflow``.
        extra: the extra of shardpack that installs it.
        purpose: what needs it, to begin the message with.

    Raises:
        MissingExtraError: it cannot be imported; the text names the pip command and the reason.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs {module}, which cannot be imported ({error}): pip install 'shardpack[{extra}]'"
        ) from None
