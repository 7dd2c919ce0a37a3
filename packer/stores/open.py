"""From a path or URI to its store: the one table of schemes."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from packer.errors import OptionsError
from packer.stores.base import Store
from packer.stores.local import LocalStore


def open_store(uri: str) -> Store:
    """Return the store at a path or ``file://`` URI. Raises OptionsError for a scheme that is not known."""
    return LocalStore(absolute_uri(uri))


def absolute_uri(uri: str) -> str:
    """Return the absolute path of a path or ``file://`` URI. Raises OptionsError for a scheme that is not known."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", uri)
    if scheme is None:
        return os.path.abspath(uri)
    if scheme[1].lower() == "file":
        return os.path.abspath(unquote(uri[len("file://") :]))
    raise OptionsError(f"{uri}: expected a path or a file:// URI, got scheme {scheme[1]!r}")
