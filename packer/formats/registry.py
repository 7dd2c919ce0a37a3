"""The containers by name: that of a FormatName is the value CONTAINER of the module of the same name here."""

from __future__ import annotations

import functools
import importlib

from packer.formats.container import Container
from packer.specs import FormatName


@functools.cache
def get_format(name: FormatName) -> Container:
    """Return the container that `name` stands for."""
    container: Container = importlib.import_module(f"packer.formats.{name}").CONTAINER
    return container
