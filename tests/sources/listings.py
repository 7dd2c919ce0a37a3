"""Writing listings for the tests, and listing them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from packer.errors import SourceError
from packer.sources.items import SourceSpec
from packer.sources.open_source import list_source


def write_csv(folder, text, name="list.csv"):
    path = Path(folder) / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_jsonl(folder, rows, name="list.jsonl"):
    return write_csv(folder, "".join(json.dumps(row) + "\n" for row in rows), name)


def write_parquet(folder, name="list.parquet", **columns):
    path = Path(folder) / name
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def listed(path, **options):
    return list_source(SourceSpec(source=str(path), **options))


def failure(path, **options):
    with pytest.raises(SourceError) as caught:
        listed(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.exit_code == 2
    return text
