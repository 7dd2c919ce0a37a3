"""From a path or URI to its store: the one table of schemes."""

from __future__ import annotations

import re

from packer.errors import OptionsError
from packer.stores.base import Store
from packer.stores.local import LocalStore


def open_store(uri: str) -> Store:
    """Return the store at a path or ``file://`` URI. Raises OptionsError for a scheme that is not known."""
    scheme = re.match(r"([a-z][a-z0-9+.-]*)://", uri)
    if scheme is None:
        return LocalStore(uri)
    if scheme[1] == "file":
        return LocalStore(uri.removeprefix("file://"))
    raise OptionsError(f"{uri}: expected a path or a file:// URI, got scheme {scheme[1]!r}")
