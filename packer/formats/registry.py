"""The containers by name: that of a FormatName is the value CONTAINER of the module of the same name here."""

from __future__ import annotations

import functools
import importlib

from packer.errors import OptionsError
from packer.formats.container import Container
from packer.specs import FormatName


@functools.cache
def get_format(name: FormatName) -> Container:
    """Return the container that `name` stands for."""
    container: Container = importlib.import_module(f"packer.formats.{name}").CONTAINER
    return container


def check_streamed(name: FormatName, *, uri: str, reader: str) -> None:
    """Raise OptionsError where a container's records cannot be read one by one, which `reader` does."""
    if not get_format(name).is_streamed:
        raise OptionsError(
            f"{uri}: {reader} reads records one by one, and {name} shards hold them column by column; copy the data "
            f"set with shardpack reshard and `format={FormatName.TFRECORD}`"
        )
