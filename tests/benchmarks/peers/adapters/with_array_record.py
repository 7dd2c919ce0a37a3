"""array_record: ArrayRecordWriter as it is set up for random access, one record a group, uncompressed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from array_record.python.array_record_module import ArrayRecordWriter
from interface import run


def write(dest: str, payloads: Sequence[bytes]) -> None:
    os.makedirs(dest, exist_ok=True)
    writer = ArrayRecordWriter(os.path.join(dest, "data.array_record"), "group_size:1,uncompressed")
    for payload in payloads:
        writer.write(payload)
    writer.close()


if __name__ == "__main__":
    run(write=write)
