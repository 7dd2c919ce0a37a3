"""shardpack's RecordIO; see with_shardpack."""

from __future__ import annotations

import functools

from interface import run
from with_shardpack import read, write

from packer.specs import FormatName

if __name__ == "__main__":
    reader = functools.partial(read, container=FormatName.RECORDIO, check=True)
    run(write=functools.partial(write, container=FormatName.RECORDIO), read={"no checksums": reader})
