"""shardpack: images into uniform training shards, and out of them to every rank.

    import packer
    result = packer.pack(source="photos", dest="shards", gpus=16)
    dataset = packer.open("shards")

Names are loaded when they are first used, so importing this package is cheap and loads no image library, no Arrow
and no framework.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

if sys.version_info < (3, 11):  # noqa: UP036  # from its folder it can be started by any
    _TEXT = "shardpack needs Python 3.11 or later, and this is Python {}.{} ({}); start it with a newer one".format(
        *sys.version_info[:2], sys.executable
    )
    if sys.argv[:1] != ["-m"]:
        raise ImportError(_TEXT)
    sys.stderr.write(_TEXT + "\n")
    raise SystemExit(2)

_PUBLIC = {
    "DataSet": "packer.reading.dataset",
    "ChannelInput": "packer.loading.loader_spec",
    "Loader": "packer.loading.loader",
    "PackResult": "packer.pipeline",
    "PackerError": "packer.errors",
    "StoreOptions": "packer.specs",
    "TorchBatches": "packer.loading.torch_adapter",
    "mxnet_batches": "packer.loading.mxnet_adapter",
    "open": "packer.reading.dataset",
    "open_dataset": "packer.reading.dataset",
    "PackOptions": "packer.options",
    "pack": "packer.python_api",
    "parse_options": "packer.options",
    "tf_dataset": "packer.loading.tf_adapter",
}

_OTHER_NAMES = {"open": "open_dataset"}
"""What is named otherwise in its module, where it would hide a name of Python's own."""

__all__ = sorted(_PUBLIC)
__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), _OTHER_NAMES.get(name, name))
    raise AttributeError(f"module 'packer' has no attribute {name!r}")
