"""The files beside a shard that follow from its table of records: the index of offsets and MXNet's list of images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pyarrow as pa

from packer.formats.index import ListEntry, RecordSpans, format_dali_index, format_list, format_mxnet_index
from packer.specs import FormatName


def index_file(container: FormatName, sizes: Sequence[int]) -> bytes:
    """Return the content of a shard's `.idx` from the framed sizes of its records in bytes."""
    offsets = [0, *accumulate(sizes)][:-1]
    if container is FormatName.TFRECORD:
        return format_dali_index(RecordSpans(offsets_bytes=offsets, sizes_bytes=sizes)).encode()
    return format_mxnet_index(offsets).encode()


def list_file(records: pa.Table) -> bytes:
    """Return the content of a RecordIO shard's `.lst` from its table of records; no label is written as -1."""
    keys = records.column("key").to_pylist()
    labels = records.column("label").to_pylist() if "label" in records.column_names else [-1] * len(keys)
    entries = [
        ListEntry(index=index, labels=tuple(label) if isinstance(label, list) else (float(label),), path=key)
        for index, (key, label) in enumerate(zip(keys, labels, strict=True))
    ]
    return format_list(entries).encode()
