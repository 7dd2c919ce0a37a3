"""Finds the last error of a job's driver in the logs that EMR writes to a bucket."""

from __future__ import annotations

import gzip
import zlib

from packer.errors import PackerError
from packer.specs import StoreOptions
from packer.stores.open_store import open_store
from packer.submitting.target import BucketLogs

_OWN = "shardpack: "
"""Prefix of the line in which the program says why it ends."""


def find_last_error(logs: BucketLogs, options: StoreOptions) -> str | None:
    """Return the program's last error without its prefix; None if there is no such line or no log yet."""
    try:
        store = open_store(logs.uri, options)
        keys = sorted(info.key for info in store.list() if info.key.endswith(logs.key_end))
        for key in reversed(keys):
            text = gzip.decompress(store.get(key)).decode(errors="replace")
            lines = [line for line in text.splitlines() if line.startswith(_OWN)]
            if lines:
                return lines[-1].removeprefix(_OWN)
    except (PackerError, OSError, EOFError, zlib.error):  # the job's failure matters more
        return None
    return None
