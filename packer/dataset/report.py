"""`meta/run.json`: what is known of a run and not of the data, such as times, hosts and versions."""

from __future__ import annotations

import platform
import time

import msgspec

from packer.distributions import installed_version
from packer.options import PackOptions

_LIBRARIES = ("shardpack", "pillow", "cykooz-resizer", "numpy", "pyarrow", "pyspark")


def run_report(options: PackOptions, *, started: float, num_reused: int) -> bytes:
    """Return the document's bytes; `started` is in seconds since the epoch."""
    document = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 3),
        "reused_shards": num_reused,
        "engine": options.engine,
        "host": platform.node(),
        "python": platform.python_version(),
        "versions": {name: found for name in _LIBRARIES if (found := installed_version(name))},
        "options": msgspec.to_builtins(options),
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
