"""Optional libraries: imported where they are used, never with `import packer`."""

from __future__ import annotations

import importlib
from types import ModuleType

from packer.errors import MissingExtraError

_COMMANDS = {
    "horovod": "make horovod FRAMEWORK=torch|tensorflow|mxnet ENVIRONMENT=the folder of your virtual environment",
}
"""By extra, where the usual command would not do: Horovod has to be compiled against the framework that is there."""


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
        command = _COMMANDS.get(extra, f"pip install '.[{extra}]'")
        raise MissingExtraError(
            f"{purpose} needs {module}, which cannot be imported ({error}); in a clone of shardpack: {command}"
        ) from None
